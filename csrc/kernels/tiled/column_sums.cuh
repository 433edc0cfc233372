// The end of a bias gradient: what threads summed of B's columns while its tiles lay in shared
// memory.
#pragma once

#include "kernels/output.cuh"
#include "kernels/tiled/scheduler.cuh"

namespace per_step_dense::tiled {

template <class Config>
__device__ __forceinline__ void store_column_sum(const TiledGemm& tiled, const Coordinates& at,
                                                 int64_t n, typename Config::Accum sum) {
  using Accum = typename Config::Accum;
  using Scalar = typename Config::Scalar;
  const Vector& to = tiled.gemm.column_sums;
  const int64_t offset = at.t * to.stride_t + n * to.stride_n;
  if (tiled.stores_accum) {
    const int64_t part = at.split * tiled.column_sum_part_elems;
    store_element(tiled.gemm.accumulation, static_cast<Accum*>(to.data) + part + offset, sum);
  } else {
    store_element(tiled.gemm.accumulation, static_cast<Scalar*>(to.data) + offset, sum);
  }
}

// Adds up the shares of each column in their order, when every thread has written its own to
// smem[share * kBlockN + column]: the result does not depend on timing.
template <class Config, int kShares>
__device__ __forceinline__ void store_column_sums(const TiledGemm& tiled, const Coordinates& at,
                                                  const typename Config::Accum* smem) {
  __syncthreads();
  for (int column = threadIdx.x; column < Config::kBlockN; column += Config::kThreads) {
    if (at.n0 + column >= tiled.gemm.n) break;
    typename Config::Accum sum = 0;
#pragma unroll
    for (int i = 0; i < kShares; ++i) sum += smem[i * Config::kBlockN + column];
    store_column_sum<Config>(tiled, at, at.n0 + column, sum);
  }
  __syncthreads();  // the next tile of this block writes smem
}

}  // namespace per_step_dense::tiled
