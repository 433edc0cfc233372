// Batched products of matrices with any strides: c[t] = activation(a[t] b[t] + bias[t]).
//
// A block owns one kBlockM x kBlockN tile of one step and one split of the sum at a time, a thread
// kThreadM x kThreadN of its elements (ThreadOutputs says which).
// Preconditions: outputs overlap neither each other nor an input; the grid has at least one block.
#pragma once

#include "kernels/simt/epilogue.cuh"
#include "kernels/tiled/row_ranges.cuh"
#include "kernels/tiled/stored_type.cuh"

namespace per_step_dense::simt {

template <class Config, class Product>
__device__ __forceinline__ void compute_tile(const TiledGemm& tiled, int64_t tile) {
  using Accum = typename Config::Accum;
  auto& smem = shared_storage<SharedStorage<Config, Product>>();
  const Coordinates at = tiled::coordinates_of<Config, Product>(tile, tiled, smem.search);
  const ThreadOutputs<Config> outputs;

  Accumulators<Config> accum{};
  ColumnSums<Config> columns;
  if (threadIdx.x == 0) smem.at = at;
  mainloop(tiled, at, outputs, smem, accum, columns);
  tiled::visit_stored_type<Config>(tiled, [&](auto stored) {
    using Out = typename decltype(stored)::type;
    TileStore<Out, Config, Product>(tiled, smem.at, outputs).store(accum);
  });
  __syncthreads();  // the column sums, or the block's next tile, write there
  if (at.sums_columns) columns.store(tiled, smem.at, reinterpret_cast<Accum*>(&smem.stage));
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, Config::kBlocksPerSm)
    forward_kernel(const __grid_constant__ TiledGemm tiled) {
  for (int64_t tile = blockIdx.x; tile < tiled.tiles; tile += gridDim.x) {
    compute_tile<Config, tiled::Forward>(tiled, tile);
  }
}

// One list of tiles of both products.
template <class Config>
__global__ void __launch_bounds__(Config::kThreads, Config::kBlocksPerSm)
    backward_kernel(const __grid_constant__ tiled::BackwardTiles list) {
  tiled::for_each_backward_tile(list, [&](bool is_grad_weight, int64_t tile) {
    if (is_grad_weight) {
      compute_tile<Config, tiled::GradWeight>(list.grad_weight, tile);
    } else {
      compute_tile<Config, tiled::GradInput>(list.grad_input, tile);
    }
  });
}

}  // namespace per_step_dense::simt
