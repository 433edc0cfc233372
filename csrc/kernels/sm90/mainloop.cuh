// A consumer's products: 64 rows of x by all columns of the tile at a time, straight from shared
// memory into registers.
#pragma once

#include <type_traits>

#include "kernels/sm90/pipeline.cuh"

namespace per_step_dense::sm90 {

// Where an operand of wgmma begins and how it goes on, as the PTX ISA has it for the 128-byte
// swizzle. Along k (x), the next 8 rows are kSwizzleBytes on. Along its rows (the weight), the next
// 8 terms are kSwizzleBytes on, and the next 64 columns are `leading_bytes` on: a panel.
__device__ __forceinline__ uint64_t matrix_descriptor(uint32_t smem, uint32_t leading_bytes) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  const auto field = [](uint32_t bytes) { return uint64_t((bytes & 0x3ffff) >> 4); };
  return field(smem) | field(leading_bytes) << 16 | field(kSwizzleBytes) << 32 | kSwizzle128;
}

template <class Config>
struct Accumulators {
  float block[Config::kBlocksM][Config::kAccums];
};

template <class Config>
class Multiplier {
  using Storage = SharedStorage<typename Config::Tile>;
  using Stage = sm90::Stage<typename Config::Tile>;

 public:
  __device__ __forceinline__ Multiplier(Storage& smem, int consumer)
      : smem_(smem), first_row_(Config::kPingpong ? 0 : consumer * Config::kConsumerRows) {}

  // One group of products is always under way: a stage is given back when the next one's are, the
  // last one by finish(). Returns the last one.
  __device__ __forceinline__ uint32_t run(int32_t k_blocks, RingPosition<Config>& ring,
                                          Accumulators<Config>& accum) const {
    uint32_t previous = 0;
    for (int32_t k_block = 0; k_block < k_blocks; ++k_block, ring.advance()) {
      wait(smem_.full[ring.stage], ring.parity);
      fence(accum);
      ptx::wgmma_fence();
      multiply(smem_.stage[ring.stage], k_block == 0, accum);
      ptx::wgmma_commit_group();
      fence(accum);
      ptx::wgmma_wait_group<1>();
      if (k_block > 0) release(previous);
      previous = ring.stage;
    }
    return previous;
  }

  __device__ __forceinline__ void finish(uint32_t last_stage, Accumulators<Config>& accum) const {
    ptx::wgmma_wait_group<0>();
    fence(accum);
    release(last_stage);
  }

 private:
  static constexpr int kTermsOfWgmma = 16;

  static __device__ __forceinline__ void fence(Accumulators<Config>& accum) {
#pragma unroll
    for (int i = 0; i < Config::kBlocksM; ++i) ptx::fence_operand(accum.block[i]);
  }

  // The first product of a tile overwrites what the registers hold.
  __device__ __forceinline__ void multiply(const Stage& stage, bool is_first,
                                           Accumulators<Config>& accum) const {
    const uint32_t smem_a = ptx::cvta_to_shared(stage.a[first_row_]);
    const uint32_t smem_b = ptx::cvta_to_shared(stage.b);
#pragma unroll
    for (int step = 0; step < kBlockK / kTermsOfWgmma; ++step) {
      const uint32_t a = smem_a + step * kTermsOfWgmma * kElementBytes;  // inside the rows
      const uint32_t b = smem_b + step * kTermsOfWgmma * kRowBytes;      // from row to row
#pragma unroll
      for (int i = 0; i < Config::kBlocksM; ++i) {
        multiply(matrix_descriptor(a + i * kWgmmaRows * kRowBytes, 0),
                 matrix_descriptor(b, sizeof stage.b[0]), !is_first || step > 0, accum.block[i]);
      }
    }
  }

  static __device__ __forceinline__ void multiply(uint64_t a, uint64_t b, bool accumulate,
                                                  float (&accum)[Config::kAccums]) {
    constexpr bool kTransA = false, kTransB = true;
    if constexpr (std::is_same_v<typename Config::Scalar, __half>) {
      ptx::wgmma_m64k16_f16<Config::kBlockN, kTransA, kTransB>(accum, a, b, accumulate);
    } else {
      ptx::wgmma_m64k16_bf16<Config::kBlockN, kTransA, kTransB>(accum, a, b, accumulate);
    }
  }

  // By each warp for itself, to every block that fetches for this one.
  __device__ __forceinline__ void release(uint32_t stage) const {
    const uint32_t lane = threadIdx.x % 32, empty = ptx::cvta_to_shared(&smem_.empty[stage]);
    if constexpr (Config::kCluster == 1) {
      if (lane == 0) ptx::mbarrier_arrive(empty);
    } else {
      if (lane < Config::kCluster) ptx::mbarrier_arrive_cluster(empty, lane);
    }
  }

  Storage& smem_;
  int first_row_;
};

}  // namespace per_step_dense::sm90
