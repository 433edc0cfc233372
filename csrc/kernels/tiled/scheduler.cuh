// Which tile of outputs a block computes next, and which terms it adds up.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/tiled/coordinates.h"
#include "kernels/tiled/tiled_gemm.h"

namespace per_step_dense::tiled {

// Where every step has all rows. Tiles are numbered with n innermost: neighbours share rows of a
// and matrix b[t].
template <class Config>
__device__ __forceinline__ Coordinates coordinates_in_order(int64_t tile, const TiledGemm& tiled) {
  const int64_t m_tile = tile / tiled.tiles_n % tiled.tiles_m;
  const int64_t matrix = tile / tiled.tiles_n / tiled.tiles_m;
  Coordinates at;
  at.n0 = tile % tiled.tiles_n * Config::kBlockN;
  at.m0 = m_tile * Config::kBlockM;
  at.m_end = tiled.gemm.m;
  at.t = matrix % tiled.gemm.t;
  at.split = matrix / tiled.gemm.t;
  at.first_k = at.split * tiled.terms;
  at.terms = min(tiled.terms, tiled.gemm.k - at.first_k);
  at.sums_columns = tiled.gemm.column_sums.data && m_tile == 0;
  return at;
}

// Calls compute(is_grad_weight, tile) for the tiles of a backward's list that are this block's.
template <class Compute>
__device__ __forceinline__ void for_each_backward_tile(const BackwardTiles& list,
                                                       Compute&& compute) {
  const bool weight_first = list.grad_weight_first;
  const int64_t first_tiles = weight_first ? list.grad_weight.tiles : list.grad_input.tiles;
  const int64_t tiles = list.grad_weight.tiles + list.grad_input.tiles;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const bool is_first = tile < first_tiles;
    compute(is_first == weight_first, is_first ? tile : tile - first_tiles);
  }
}

}  // namespace per_step_dense::tiled
