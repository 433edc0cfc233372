// A consumer's products of swapped operands, which are those of tfloat32's forward: 64 columns of
// the weight, by way of registers, with all rows of the tile.
#pragma once

#include "kernels/sm90/accumulators.cuh"
#include "kernels/sm90/column_sums.cuh"
#include "kernels/sm90/matrix_descriptor.cuh"
#include "kernels/sm90/pipeline.cuh"
#include "kernels/sm90/terms.cuh"
#include "kernels/sm90/weight_fragment.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class MultiplierOfSwapped {
  using Storage = SharedStorage<typename Config::Tile>;
  using Stage = sm90::Stage<typename Config::Tile>;
  using Fragment = WeightFragment<Config>;
  static_assert(Config::kBlocks == 1, "or more is to be read");

 public:
  __device__ __forceinline__ MultiplierOfSwapped(Storage& smem, int consumer)
      : smem_(smem), reader_(first_column<Config>(consumer)) {}

  // A stage's weight is read while the stage before is multiplied, which has its registers until
  // then: so there are two sets of them, by turns. Returns the last stage, which finish() gives
  // back.
  __device__ __forceinline__ uint32_t run(Forward, int32_t k_blocks, TermsOfTensor,
                                          RingPosition<Config>& ring, Accumulators<Config>& accum,
                                          NoColumnSums&) const {
    Fragment even, odd;
    uint32_t previous = 0;
    int32_t k_block = 0;
    while (true) {
      previous = multiply(k_block == 0, previous, ring, even, accum);
      if (++k_block == k_blocks) break;
      previous = multiply(false, previous, ring, odd, accum);
      if (++k_block == k_blocks) break;
    }
    ptx::wgmma_wait_group<0>();  // the registers end here
    accum.fence();
    return previous;
  }

  __device__ __forceinline__ void finish(uint32_t last_stage, Accumulators<Config>&) const {
    release_read(last_stage);
  }

 private:
  // Returns the stage.
  __device__ __forceinline__ uint32_t multiply(bool is_first, uint32_t previous,
                                               RingPosition<Config>& ring, Fragment& fragment,
                                               Accumulators<Config>& accum) const {
    const uint32_t stage = ring.stage;
    wait(smem_.full[stage], ring.parity);
    reader_.read(ptx::cvta_to_shared(smem_.stage[stage].b), fragment);
    accum.fence();
#pragma unroll
    for (int product = 0; product < Fragment::kProducts; ++product) {
      ptx::fence_operand(fragment.a[product]);
    }
    ptx::wgmma_fence();
    const uint32_t x = ptx::cvta_to_shared(smem_.stage[stage].a);
#pragma unroll
    for (int product = 0; product < Fragment::kProducts; ++product) {
      const uint32_t b = x + product * kTermsOfTf32Wgmma * Config::kElementBytes;
      ptx::wgmma_m64k8_tf32<Config::kProductColumns>(
          accum.block[0], fragment.a[product], matrix_descriptor(b, 0), !is_first || product > 0);
    }
    ptx::wgmma_commit_group();
    accum.fence();
    ptx::wgmma_wait_group<1>();
    if (!is_first) release_read(previous);
    ring.advance();
    return stage;
  }

  // TMA must not overtake what any of the warp's threads has read itself.
  __device__ __forceinline__ void release_read(uint32_t stage) const {
    ptx::fence_proxy_async();
    __syncwarp();
    release<Config>(smem_, stage);
  }

  Storage& smem_;
  WeightReader<Config> reader_;
};

}  // namespace per_step_dense::sm90
