// The terms of a product whose last stage may hold some that are not its own.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/sm90/config.cuh"
#include "kernels/sm90/tile_walk.cuh"
#include "kernels/sm90/turns.cuh"

namespace per_step_dense::sm90 {

// Beyond the last term TMA has filled stages with zeros.
struct TermsOfTensor {
  __device__ __forceinline__ TermsOfTensor(const TilePlace&, int) {}

  template <class Stage>
  __device__ __forceinline__ void clear_others(Stage&, int32_t) const {}
};

// Rows that the two operands of a weight gradient have in common. Beyond the step's last one are
// those of other steps, or of none, which may be anything, and must be zero in both: 0 * inf is
// not.
template <class Config>
class TermsOfRange {
  using Stage = sm90::Stage<typename Config::Tile>;
  static constexpr int kPanelsOfA = Config::kPanelsOfA, kPanels = Config::kPanels;
  static constexpr int kChunksOfRow = kRowBytes / kVectorBytes;

 public:
  __device__ __forceinline__ TermsOfRange(const TilePlace& at, int consumer)
      : last_block_(at.k_blocks - 1),
        rows_of_last_(at.rows_end - at.first_k - last_block_ * Config::kBlockK),
        consumer_(consumer) {}

  // By the consumer that alone reads the stage.
  __device__ __forceinline__ void clear_others(Stage& stage, int32_t k_block) const {
    static_assert(Config::kPingpong || Config::kConsumers == 1, "or others wait, too");
    if (k_block < last_block_ || rows_of_last_ == Config::kBlockK) return;
    for (int row = rows_of_last_ + thread() / kChunksOfRow; row < Config::kBlockK;
         row += kWarpgroupThreads / kChunksOfRow) {
      const int byte = thread() % kChunksOfRow * kVectorBytes;
#pragma unroll
      for (int panel = 0; panel < kPanelsOfA; ++panel) {
        clear(stage.a[panel * Config::kBlockK + row] + byte);
      }
#pragma unroll
      for (int panel = 0; panel < kPanels; ++panel) clear(stage.b[panel][row] + byte);
    }
    ptx::fence_proxy_async();
    ptx::bar_sync(barrier_of_consumer(consumer_), kWarpgroupThreads);
  }

 private:
  static __device__ __forceinline__ int thread() { return threadIdx.x % kWarpgroupThreads; }
  static __device__ __forceinline__ void clear(unsigned char* smem) {
    *reinterpret_cast<uint4*>(smem) = make_uint4(0, 0, 0, 0);
  }

  int32_t last_block_, rows_of_last_;
  int consumer_;
};

}  // namespace per_step_dense::sm90
