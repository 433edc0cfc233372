// The role that multiplies and stores: a warpgroup each.
#pragma once

#include "kernels/sm90/column_sums.cuh"
#include "kernels/sm90/epilogue.cuh"
#include "kernels/sm90/mainloop_shared.cuh"
#include "kernels/sm90/mainloop_swapped.cuh"
#include "kernels/sm90/terms.cuh"
#include "kernels/sm90/turns.cuh"

namespace per_step_dense::sm90 {

template <class Config, class List>
class Consumer {
  using Storage = SharedStorage<typename Config::Tile>;
  using Multiplier = std::conditional_t<Config::kSwapsOperands, MultiplierOfSwapped<Config>,
                                        MultiplierOfShared<Config>>;
  using TermsOfSum = std::conditional_t<Config::kHasRanges, TermsOfRange<Config>, TermsOfTensor>;

 public:
  __device__ __forceinline__ Consumer(const List& list, Storage& smem, int consumer)
      : list_(list),
        consumer_(consumer),
        turns_(consumer),
        multiplier_(smem, consumer),
        epilogue_(smem, consumer) {}

  __device__ __forceinline__ void run() const {
    RingPosition<Config> ring;
    Accumulators<Config> accum;  // one for all products: registers of two would be two
    turns_.begin();
    int number = 0;
    for (TileWalk<Config, List> walk(list_); walk.has_item(); walk.advance(), ++number) {
      list_.visit(walk.item(), [&](auto product, const ProductParams& params, const TilePlace& at) {
        if (turns_.is_own(number)) {
          compute(product, params, at, walk.has_next(), ring, accum);
        } else {
          ring.skip(at.k_blocks);
        }
      });
    }
    epilogue_.finish();
  }

 private:
  __device__ __forceinline__ void compute(Forward product, const ProductParams& params,
                                          const TilePlace& at, bool has_next,
                                          RingPosition<Config>& ring,
                                          Accumulators<Config>& accum) const {
    const TileBias<Config> bias(params, at, consumer_);
    NoColumnSums columns;
    multiply(product, at, TermsOfTensor(at, consumer_), has_next, ring, accum, columns);
    if (!params.is_split) epilogue_.take(bias);
    epilogue_.store(product, params, at, accum);
  }

  __device__ __forceinline__ void compute(GradInput product, const ProductParams& params,
                                          const TilePlace& at, bool has_next,
                                          RingPosition<Config>& ring,
                                          Accumulators<Config>& accum) const {
    NoColumnSums columns;
    multiply(product, at, TermsOfTensor(at, consumer_), has_next, ring, accum, columns);
    epilogue_.store(product, params, at, accum);
  }

  // The first tile of rows also sums the columns of dz.
  __device__ __forceinline__ void compute(GradWeight product, const ProductParams& params,
                                          const TilePlace& at, bool has_next,
                                          RingPosition<Config>& ring,
                                          Accumulators<Config>& accum) const {
    ColumnSums<Config> columns(consumer_, params.gemm.column_sums.data && at.m0 == 0);
    const TermsOfSum terms(at, consumer_);
    multiply(product, at, terms, has_next, ring, accum, columns);
    epilogue_.store(params, at, columns);
    epilogue_.store(product, params, at, accum);
  }

  template <class Product, class Terms, class Columns>
  __device__ __forceinline__ void multiply(Product product, const TilePlace& at, const Terms& terms,
                                           bool has_next, RingPosition<Config>& ring,
                                           Accumulators<Config>& accum, Columns& columns) const {
    turns_.wait();
    const uint32_t last_stage = multiplier_.run(product, at.k_blocks, terms, ring, accum, columns);
    if (has_next) turns_.pass_on();
    multiplier_.finish(last_stage, accum);
  }

  const List& list_;
  int consumer_;
  Turns<Config> turns_;
  Multiplier multiplier_;
  Epilogue<Config> epilogue_;
};

}  // namespace per_step_dense::sm90
