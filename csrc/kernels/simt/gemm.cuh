// Batched products of float32 matrices with any strides: c[t] = activation(a[t] b[t] + bias[t]).
//
// A block owns one kBlockM x kBlockN tile of one step at a time, a thread 4 x 4 of its elements.
// Preconditions: outputs overlap neither each other nor an input; the grid has at least one block.
#pragma once

#include "kernels/simt/epilogue.cuh"

namespace per_step_dense::simt {

// Tiles of a product are numbered with n innermost: neighbours share rows of a and matrix b[t].
template <class Config>
__device__ __forceinline__ void compute_tile(const Gemm& gemm, int64_t tile,
                                             SharedStorage<Config>& smem) {
  const int64_t n0 = tile % gemm.tiles_n * Config::kBlockN;
  const int64_t m_tile = tile / gemm.tiles_n % gemm.tiles_m;
  const int64_t m0 = m_tile * Config::kBlockM;
  const int64_t t = tile / gemm.tiles_n / gemm.tiles_m;
  const bool wants_column_sums = gemm.column_sums.data && m_tile == 0;

  Accumulators<Config> accum{};
  mainloop(gemm, t, m0, n0, wants_column_sums, smem, accum);
  store_tile(gemm, t, m0, n0, accum);
  if (wants_column_sums) store_column_sums(gemm, t, n0, accum, smem);
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads)
    gemm_kernel(const __grid_constant__ GemmList list) {
  auto& smem = shared_storage<SharedStorage<Config>>();
  const int64_t tiles = list.tiles[0] + list.tiles[1];
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const bool second = tile >= list.tiles[0];
    compute_tile(list.gemm[second], second ? tile - list.tiles[0] : tile, smem);
  }
}

}  // namespace per_step_dense::simt
