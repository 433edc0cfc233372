// A consumer's sums in registers, and the walk over them once they are finished.
#pragma once

#include "kernels/sm90/config.cuh"

namespace per_step_dense::sm90 {

template <class Config>
struct Accumulators {
  float block[Config::kBlocks][Config::kAccums];

  // Keeps the compiler from moving accesses to them across a product.
  __device__ __forceinline__ void fence() {
#pragma unroll
    for (int i = 0; i < Config::kBlocks; ++i) ptx::fence_operand(block[i]);
  }
};

// Which of a block's outputs a thread has: as wgmma deals out 64 x 64 of them, rows lane / 4 and 8
// more of its warp's 16, and of each two neighbouring columns in every 8.
struct ThreadPlace {
  uint32_t row, column;

  __device__ __forceinline__ ThreadPlace()
      : row(threadIdx.x % kWarpgroupThreads / 32 * 16 + threadIdx.x % 32 / 4),
        column(threadIdx.x % 4 * 2) {}
};

inline constexpr int kPairsOfPanel = 8;                     // of columns, of a row of 64
inline constexpr int kSumsOfPanel = 2 * 2 * kPairsOfPanel;  // of a thread
using PanelSums = float[kSumsOfPanel];                      // [pair][row][column]

// Calls visit(block, panel, sums) for each 64 x 64 of a consumer's sums. In a loop, whose code is
// there once, sums are copies: the activations make that code long. Unrolled, they are the
// registers themselves.
template <class Config, bool kUnrolls, class Visit>
__device__ __forceinline__ void for_each_panel(const Accumulators<Config>& accum, Visit&& visit) {
  constexpr int kPanelsOfBlock = Config::kAccums / kSumsOfPanel;
  constexpr int kPanels = Config::kBlocks * kPanelsOfBlock;
#pragma unroll(kUnrolls ? kPanels : 1)
  for (int index = 0; index < kPanels; ++index) {
    PanelSums sums;
#pragma unroll
    for (int panel = 0; panel < kPanels; ++panel) {
      if (panel != index) continue;
#pragma unroll
      for (int i = 0; i < kSumsOfPanel; ++i) {
        sums[i] = accum.block[panel / kPanelsOfBlock][panel % kPanelsOfBlock * kSumsOfPanel + i];
      }
    }
    visit(index / kPanelsOfBlock, index % kPanelsOfBlock, sums);
  }
}

}  // namespace per_step_dense::sm90
