// Tiles of steps whose rows differ: no tile is spent on rows that a step does not have.
#pragma once

#include "kernels/row_range.cuh"
#include "kernels/tiled/scheduler.cuh"
#include "kernels/warp_scan.cuh"

namespace per_step_dense::tiled {

// Leaves in `found` the step that has the wanted tile of all steps' tiles, and which of its own
// that is; step -1 where all steps together have fewer. Every thread counts the tiles of some
// steps, and the one whose steps have the wanted tile tells the others.
template <class Config>
class StepFinder {
  static constexpr int kWarps = Config::kThreads / 32;
  static_assert(kWarps <= StepSearch::kMaxWarps, "or a warp has no place for its count");

 public:
  __device__ __forceinline__ StepFinder(const Gemm& gemm, StepSearch& found)
      : gemm_(gemm), found_(found) {
    const int64_t steps = (gemm.t + Config::kThreads - 1) / Config::kThreads;
    first_ = min(int64_t(threadIdx.x) * steps, gemm.t);
    last_ = min(first_ + steps, gemm.t);
  }

  __device__ __forceinline__ void find(int64_t wanted) {
    int64_t own = 0;
    for (int64_t t = first_; t < last_; ++t) own += tiles_of(t);
    const int64_t up_to_own = sum_up_to_lane(own);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (lane == 31) found_.tiles_of_warp[warp] = up_to_own;
    if (threadIdx.x == 0) found_.step = -1;
    __syncthreads();
    int64_t before = up_to_own - own;
    for (int w = 0; w < warp; ++w) before += found_.tiles_of_warp[w];
    if (before <= wanted && wanted < before + own) tell(wanted - before);
    __syncthreads();
  }

 private:
  __device__ __forceinline__ int64_t tiles_of(int64_t t) const {
    const RowRange range = range_of(gemm_.m_ranges, t, gemm_.m);
    return (range.end - range.begin + Config::kBlockM - 1) / Config::kBlockM;
  }

  __device__ __forceinline__ void tell(int64_t m_tile) const {
    for (int64_t t = first_; t < last_; ++t) {
      const int64_t tiles = tiles_of(t);
      if (m_tile < tiles) {
        found_.step = t;
        found_.m_tile = m_tile;
        return;
      }
      m_tile -= tiles;
    }
  }

  const Gemm& gemm_;
  StepSearch& found_;
  int64_t first_, last_;  // this thread's steps
};

// Of a product whose rows differ by step: forward and grad-input. Tiles beyond the last have no
// rows.
template <class Config>
__device__ __forceinline__ Coordinates coordinates_in_ranges(int64_t tile, const TiledGemm& tiled,
                                                             StepSearch& found) {
  StepFinder<Config>(tiled.gemm, found).find(tile / tiled.tiles_n);
  Coordinates at{};
  if (found.step < 0) return at;
  const RowRange range = range_of(tiled.gemm.m_ranges, found.step, tiled.gemm.m);
  at.t = found.step;
  at.n0 = tile % tiled.tiles_n * Config::kBlockN;
  at.m0 = range.begin + found.m_tile * Config::kBlockM;
  at.rows = int32_t(min(range.end - at.m0, int64_t{Config::kBlockM}));
  at.terms = tiled.gemm.k;
  return at;
}

// Of a product whose terms differ by step: grad-weight. A step without rows sums to zero.
__device__ __forceinline__ void take_range_of_terms(const TiledGemm& tiled, Coordinates& at) {
  const RowRange range = range_of(tiled.gemm.k_ranges, at.t, tiled.gemm.k);
  at.terms = min(tiled.terms, range.end - range.begin - at.first_k);
  at.first_k += range.begin;
}

// Of any product; `search` is the block's.
template <class Config, class Product>
__device__ __forceinline__ Coordinates coordinates_of(int64_t tile, const TiledGemm& tiled,
                                                      StepSearch& search) {
  if (!Product::kSumsRows && tiled.gemm.m_ranges.begin) {
    return coordinates_in_ranges<Config>(tile, tiled, search);
  }
  Coordinates at = coordinates_in_order<Config>(tile, tiled);
  if (Product::kSumsRows && tiled.gemm.k_ranges.begin) take_range_of_terms(tiled, at);
  return at;
}

}  // namespace per_step_dense::tiled
