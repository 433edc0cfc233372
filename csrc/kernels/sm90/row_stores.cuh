// Outputs of a tile that has fewer rows of its step than it is high, stored by threads: TMA would
// store those of the next step, too.
#pragma once

#include "kernels/output.cuh"
#include "kernels/pack.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

// As TMA swizzles: a row's 16-byte chunks are XORed with its number. Rows of outputs are whole
// chunks, of which neighbouring threads store neighbours.
template <class Config>
__device__ __forceinline__ void store_rows(const Outputs<typename Config::Tile>& outputs,
                                           const Matrix& matrix, const TilePlace& at,
                                           int32_t first_n, int64_t columns) {
  using Scalar = typename Config::Scalar;
  constexpr int kElems = kVectorBytes / sizeof(Scalar);
  constexpr int kChunksOfPanel = kRowBytes / kVectorBytes;
  constexpr int kChunks = Config::kConsumerPanels * kChunksOfPanel;
  const int32_t rows = at.rows_end - at.m0;
  for (int i = threadIdx.x % kWarpgroupThreads; i < rows * kChunks; i += kWarpgroupThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    const int32_t n = first_n + chunk * kElems;
    if (n >= columns) continue;
    const unsigned char* const smem = outputs.panel[chunk / kChunksOfPanel][row] +
                                      (chunk % kChunksOfPanel ^ row % 8) * kVectorBytes;
    ptx::st_global(reinterpret_cast<uint4*>(element_at<Scalar>(matrix, at.t, at.m0 + row, n)),
                   *reinterpret_cast<const uint4*>(smem));
  }
}

}  // namespace per_step_dense::sm90
