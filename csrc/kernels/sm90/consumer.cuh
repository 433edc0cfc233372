// The role that multiplies and stores: a warpgroup each.
#pragma once

#include "kernels/sm90/epilogue.cuh"
#include "kernels/sm90/mainloop_16bit.cuh"
#include "kernels/sm90/mainloop_tf32.cuh"
#include "kernels/sm90/turns.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class Consumer {
  using Storage = SharedStorage<typename Config::Tile>;
  using Multiplier = std::conditional_t<Config::kSwapsOperands, MultiplierOfTf32<Config>,
                                        MultiplierOf16Bits<Config>>;

 public:
  __device__ __forceinline__ Consumer(const ForwardParams& params, Storage& smem, int consumer)
      : params_(params),
        consumer_(consumer),
        turns_(consumer),
        multiplier_(smem, consumer),
        epilogue_(params, smem, consumer) {}

  __device__ __forceinline__ void run() const {
    RingPosition<Config> ring;
    turns_.begin();
    int number = 0;
    for (TileWalk<Config> walk(params_.order); walk.has_tile(); walk.advance(), ++number) {
      const TilePlace at = walk.place();
      if (turns_.is_own(number)) {
        compute(at, walk.has_next(), ring);
      } else {
        ring.skip(at.k_blocks);
      }
    }
    epilogue_.finish();
  }

 private:
  __device__ __forceinline__ void compute(const TilePlace& at, bool has_next,
                                          RingPosition<Config>& ring) const {
    const TileBias<Config> bias(params_, at, consumer_);
    Accumulators<Config> accum;
    turns_.wait();
    const uint32_t last_stage = multiplier_.run(at.k_blocks, ring, accum);
    if (has_next) turns_.pass_on();
    multiplier_.finish(last_stage, accum);
    epilogue_.store(at, bias, accum);
  }

  const ForwardParams& params_;
  int consumer_;
  Turns<Config> turns_;
  Multiplier multiplier_;
  Epilogue<Config> epilogue_;
};

}  // namespace per_step_dense::sm90
