// Batched products of matrices with any strides, by tensor cores:
// c[t] = activation(a[t] b[t] + bias[t]).
//
// A block owns one kBlockM x kBlockN tile of one step and one split of the sum at a time, a warp
// kWarpM x kWarpN of its elements:
//
//   global memory --cp.async--> stages --ldmatrix--> fragments --mma.sync--> accumulators
//     --> the tile's sums in shared memory --> stretches of rows --> global memory
//
// Preconditions: outputs overlap neither each other nor an input; the grid has at least one block.
#pragma once

#include "kernels/sm80/epilogue.cuh"
#include "kernels/tiled/row_ranges.cuh"
#include "kernels/tiled/stored_type.cuh"

namespace per_step_dense::sm80 {

template <class Config>
__device__ __forceinline__ void compute_tile(const TiledGemm& tiled, int64_t tile) {
  auto& smem = shared_storage<SharedStorage<Config>>();
  const Coordinates at =
      tiled::coordinates_of<Config, typename Config::Product>(tile, tiled, smem.search);
  const WarpPlace<Config> warp;

  Accumulators<Config> accum{};
  ColumnSums<Config> columns;
  if (threadIdx.x == 0) smem.at = at;
  mainloop(tiled, at, warp, smem, accum, columns);
  StagedSums<Config> sums(smem);
  sums.write(accum, warp);
  __syncthreads();
  tiled::visit_stored_type<Config>(tiled, [&](auto stored) {
    store_tile<typename decltype(stored)::type, Config>(tiled, smem.at, sums);
  });
  __syncthreads();  // the column sums, or the block's next tile, write there
  if (Config::kSumsRows && at.sums_columns) {
    columns.store(tiled, smem.at, reinterpret_cast<float*>(&smem.stage));
  }
}

template <class Scalar, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerSm)
    forward_kernel(const __grid_constant__ TiledGemm tiled) {
  for (int64_t tile = blockIdx.x; tile < tiled.tiles; tile += gridDim.x) {
    compute_tile<Config<Scalar, Tile, tiled::Forward>>(tiled, tile);
  }
}

// One list of tiles of both products.
template <class Scalar, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerSm)
    backward_kernel(const __grid_constant__ tiled::BackwardTiles list) {
  tiled::for_each_backward_tile(list, [&](bool is_grad_weight, int64_t tile) {
    if (is_grad_weight) {
      compute_tile<Config<Scalar, Tile, tiled::GradWeight>>(list.grad_weight, tile);
    } else {
      compute_tile<Config<Scalar, Tile, tiled::GradInput>>(list.grad_input, tile);
    }
  });
}

}  // namespace per_step_dense::sm80
