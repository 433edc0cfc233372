// A consumer's products of operands that wgmma takes as they lie in shared memory: 64 rows of A by
// all columns of the tile at a time, straight into registers.
#pragma once

#include <type_traits>

#include "kernels/sm90/accumulators.cuh"
#include "kernels/sm90/matrix_descriptor.cuh"
#include "kernels/sm90/pipeline.cuh"
#include "kernels/sm90/products.h"

namespace per_step_dense::sm90 {

template <class Config>
class MultiplierOfShared {
  using Storage = SharedStorage<typename Config::Tile>;
  using Stage = sm90::Stage<typename Config::Tile>;

 public:
  __device__ __forceinline__ MultiplierOfShared(Storage& smem, int consumer)
      : smem_(smem), first_row_(first_row<Config>(consumer)) {}

  // One group of products is always under way: a stage is given back when the next one's are, the
  // last one by finish(). Returns the last one. Meanwhile `columns` reads what it sums of b.
  template <class Product, class Terms, class Columns>
  __device__ __forceinline__ uint32_t run(Product, int32_t k_blocks, const Terms& terms,
                                          RingPosition<Config>& ring, Accumulators<Config>& accum,
                                          Columns& columns) const {
    uint32_t previous = 0;
    for (int32_t k_block = 0; k_block < k_blocks; ++k_block, ring.advance()) {
      wait(smem_.full[ring.stage], ring.parity);
      terms.clear_others(smem_.stage[ring.stage], k_block);
      accum.fence();
      ptx::wgmma_fence();
      multiply<Product>(smem_.stage[ring.stage], k_block == 0, accum);
      ptx::wgmma_commit_group();
      columns.add(smem_.stage[ring.stage]);
      accum.fence();
      ptx::wgmma_wait_group<1>();
      if (k_block > 0) release<Config>(smem_, previous);
      previous = ring.stage;
    }
    return previous;
  }

  __device__ __forceinline__ void finish(uint32_t last_stage, Accumulators<Config>& accum) const {
    ptx::wgmma_wait_group<0>();
    accum.fence();
    release<Config>(smem_, last_stage);
  }

 private:
  static constexpr int kTermsOfWgmma = 32 / Config::kElementBytes;
  static constexpr uint32_t kPanelBytes = Config::kBlockK * kRowBytes;

  // From a product's terms to the next one's: along k inside the rows, else from row to row.
  template <Major kMajor>
  static constexpr uint32_t kStepBytes =
      kTermsOfWgmma * (kMajor == Major::kK ? Config::kElementBytes : kRowBytes);

  // The first product of a tile overwrites what the registers hold. The next 64 rows of A are as
  // far on as a panel is long, however it lies.
  template <class Product>
  __device__ __forceinline__ void multiply(const Stage& stage, bool is_first,
                                           Accumulators<Config>& accum) const {
    static_assert(Config::kBlocks == 1 || kPanelBytes == kWgmmaRows * kRowBytes,
                  "or 64 rows of A are not a panel");
    const uint32_t smem_a = ptx::cvta_to_shared(stage.a[first_row_]);
    const uint32_t smem_b = ptx::cvta_to_shared(stage.b);
#pragma unroll
    for (int step = 0; step < Config::kBlockK / kTermsOfWgmma; ++step) {
      const uint32_t a = smem_a + step * kStepBytes<Product::kMajorA>;
      const uint32_t b = smem_b + step * kStepBytes<Product::kMajorB>;
#pragma unroll
      for (int i = 0; i < Config::kBlocks; ++i) {
        multiply<Product>(matrix_descriptor(a + i * kPanelBytes, 0),
                          matrix_descriptor(b, Product::kMajorB == Major::kRow ? kPanelBytes : 0),
                          !is_first || step > 0, accum.block[i]);
      }
    }
  }

  template <class Product>
  static __device__ __forceinline__ void multiply(uint64_t a, uint64_t b, bool accumulate,
                                                  float (&accum)[Config::kAccums]) {
    constexpr bool kTransA = Product::kMajorA == Major::kRow,
                   kTransB = Product::kMajorB == Major::kRow;
    if constexpr (std::is_same_v<typename Config::Scalar, float>) {
      static_assert(!kTransA && !kTransB, "wgmma transposes 16-bit elements alone");
      ptx::wgmma_m64k8_tf32<Config::kBlockN>(accum, a, b, accumulate);
    } else if constexpr (std::is_same_v<typename Config::Scalar, __half>) {
      ptx::wgmma_m64k16_f16<Config::kBlockN, kTransA, kTransB>(accum, a, b, accumulate);
    } else {
      ptx::wgmma_m64k16_bf16<Config::kBlockN, kTransA, kTransB>(accum, a, b, accumulate);
    }
  }

  Storage& smem_;
  int first_row_;
};

}  // namespace per_step_dense::sm90
