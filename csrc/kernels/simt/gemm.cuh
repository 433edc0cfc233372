// Batched products of matrices with any strides: c[t] = activation(a[t] b[t] + bias[t]).
//
// A block owns one kBlockM x kBlockN tile of one step and one split of the sum at a time, a thread
// kThreadM x kThreadN of its elements (ThreadOutputs says which).
// Preconditions: outputs overlap neither each other nor an input; the grid has at least one block.
#pragma once

#include "kernels/simt/epilogue.cuh"

namespace per_step_dense::simt {

// Tiles are numbered with n innermost: neighbours share rows of a and matrix b[t].
template <class Config>
__device__ __forceinline__ Coordinates coordinates_of(int64_t tile, const TiledGemm& tiled) {
  const int64_t m_tile = tile / tiled.tiles_n % tiled.tiles_m;
  const int64_t matrix = tile / tiled.tiles_n / tiled.tiles_m;
  Coordinates at;
  at.n0 = tile % tiled.tiles_n * Config::kBlockN;
  at.m0 = m_tile * Config::kBlockM;
  at.t = matrix % tiled.gemm.t;
  at.split = matrix / tiled.gemm.t;
  at.first_k = at.split * tiled.terms;
  at.terms = min(tiled.terms, tiled.gemm.k - at.first_k);
  at.sums_columns = tiled.gemm.column_sums.data && m_tile == 0;
  return at;
}

template <class Config, class Product>
__device__ __forceinline__ void compute_tile(const TiledGemm& tiled, int64_t tile) {
  using Accum = typename Config::Accum;
  auto& smem = shared_storage<Pipeline<Config, Product>>();
  const Coordinates at = coordinates_of<Config>(tile, tiled);
  const ThreadOutputs<Config> outputs;

  Accumulators<Config> accum{};
  mainloop(tiled, at, outputs, smem, accum);
  if (tiled.is_split) {
    TileStore<Accum, Config, Product>(tiled, at, outputs).store(accum);
  } else {
    TileStore<typename Config::Scalar, Config, Product>(tiled, at, outputs).store(accum);
  }
  if (at.sums_columns) store_column_sums(tiled, at, accum, reinterpret_cast<Accum*>(&smem));
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, Config::kBlocksPerSm)
    forward_kernel(const __grid_constant__ TiledGemm tiled) {
  for (int64_t tile = blockIdx.x; tile < tiled.tiles; tile += gridDim.x) {
    compute_tile<Config, Forward>(tiled, tile);
  }
}

// One list of tiles of both products.
template <class Config>
__global__ void __launch_bounds__(Config::kThreads, Config::kBlocksPerSm)
    backward_kernel(const __grid_constant__ BackwardTiles list) {
  const bool weight_first = list.grad_weight_first;
  const int64_t first_tiles = weight_first ? list.grad_weight.tiles : list.grad_input.tiles;
  const int64_t tiles = list.grad_weight.tiles + list.grad_input.tiles;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const bool is_first = tile < first_tiles;
    const int64_t own_tile = is_first ? tile : tile - first_tiles;
    if (is_first == weight_first) {
      compute_tile<Config, GradWeight>(list.grad_weight, own_tile);
    } else {
      compute_tile<Config, GradInput>(list.grad_input, own_tile);
    }
  }
}

}  // namespace per_step_dense::simt
