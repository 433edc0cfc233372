// y[b, t, :] = x[b, t, :] @ weight[t] + bias[t] in bfloat16, contiguous: what the example kernels
// compute. They exist to prove the emulator's engines, not to be fast.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

namespace per_step_dense::example {

struct GemmProblem {
  int b, t, i, o;               // i and o are multiples of 8: rows of whole 16-byte chunks
  const __nv_bfloat16* x;       // (B, T, I)
  const __nv_bfloat16* weight;  // (T, I, O)
  const __nv_bfloat16* bias;    // (T, O), or null
  __nv_bfloat16* y;             // (B, T, O)
};

// cp.async, ldmatrix, mma.sync.
cudaError_t mma_sync_gemm(const GemmProblem& problem, cudaStream_t stream);

// TMA, mbarrier, wgmma, with 64 or 128 columns and one or two consumer warpgroups a block.
cudaError_t wgmma_gemm(const GemmProblem& problem, int columns, int consumers, cudaStream_t stream);

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

// A block's tile: step t, rows from m0, columns from n0. Columns are innermost.
struct TileOrigin {
  int t, m0, n0;
};

inline TileOrigin tile_origin(unsigned block, int tiles_m, int tiles_n, int block_m, int block_n) {
  const int tile = static_cast<int>(block);
  return {tile / tiles_n / tiles_m, tile / tiles_n % tiles_m * block_m, tile % tiles_n * block_n};
}

}  // namespace per_step_dense::example
