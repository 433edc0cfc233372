// The tiles that a block computes, one after another: alike for all of its roles.
#pragma once

#include "kernels/ptx_sm90.cuh"
#include "kernels/sm90/params.h"
#include "kernels/sm90/tiles.h"

namespace per_step_dense::sm90 {

// A tile of outputs and the terms that it adds up.
struct TilePlace {
  int32_t t, m0, n0;
  int32_t split;
  int32_t first_k, k_blocks;
};

template <class Config>
class TileWalk {
 public:
  __device__ __forceinline__ explicit TileWalk(const TileOrder& order)
      : order_(order),
        rank_(Config::kCluster > 1 ? ptx::cluster_ctarank() : 0),
        item_(blockIdx.x / Config::kCluster) {}

  __device__ __forceinline__ bool has_tile() const { return item_ < order_.items; }
  __device__ __forceinline__ bool has_next() const { return next() < order_.items; }
  __device__ __forceinline__ void advance() { item_ = next(); }

  __device__ __forceinline__ TilePlace place() const {
    const uint32_t tiles_m = order_.rows_of_tiles, tiles_n = order_.tiles_n;
    const uint32_t steps = order_.steps, item = item_;
    uint32_t t, m, n, split;
    if (order_.steps_inside) {
      t = item % steps;
      const uint32_t tile = item / steps;
      n = tile % tiles_n;
      m = tile / tiles_n % tiles_m;
      split = tile / tiles_n / tiles_m;
    } else {
      const uint32_t tiles = tiles_m * tiles_n, tile = item % tiles;
      t = item / tiles % steps;
      split = item / tiles / steps;
      const uint32_t first_n = tile / (tiles_m * order_.band) * order_.band;
      const uint32_t band = min(uint32_t(order_.band), tiles_n - first_n);
      const uint32_t tile_of_band = tile - first_n * tiles_m;
      n = first_n + tile_of_band % band;
      m = tile_of_band / band;
    }
    TilePlace at;
    at.t = t;
    at.m0 = (m * Config::kCluster + rank_) * Config::kBlockM;
    at.n0 = n * Config::kBlockN;
    at.split = split;
    const int32_t first_k_block = split * order_.k_blocks_a_split;
    at.first_k = first_k_block * Config::kBlockK;
    at.k_blocks = min(order_.k_blocks_a_split, order_.k_blocks - first_k_block);
    return at;
  }

 private:
  __device__ __forceinline__ int32_t next() const {
    return item_ + int32_t(gridDim.x) / Config::kCluster;
  }

  const TileOrder& order_;
  uint32_t rank_;  // of the block in its cluster
  int32_t item_;
};

}  // namespace per_step_dense::sm90
