// Adds up what the slices of a unit have summed, always in the same order.
#pragma once

#include "kernels/tiny/place.cuh"
#include "kernels/tiny/sums.cuh"

namespace per_step_dense::tiny {

// The values of slice s and unit u lie at [s * units of the block + u].
template <class Config>
struct SharedStorage {
  using Accum = typename Config::Accum;
  Accum product[kRows][Config::kColumns][Config::kThreads];
  Accum column[Config::kColumns][Config::kThreads];
};

// Every lane of a unit ends up with the same sums: each addition has the same two terms on both
// sides of it.
template <class Config>
__device__ __forceinline__ void join_lanes(int slices, Totals<Config>& totals) {
  constexpr unsigned kAllLanes = 0xffffffffu;
  for (int distance = slices / 2; distance > 0; distance /= 2) {
#pragma unroll
    for (int j = 0; j < Config::kColumns; ++j) {
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        totals.product[row][j] += __shfl_xor_sync(kAllLanes, totals.product[row][j], distance);
      }
      totals.column[j] += __shfl_xor_sync(kAllLanes, totals.column[j], distance);
    }
  }
}

// `own` is the first slice's value of this thread's unit.
template <class Accum>
__device__ __forceinline__ Accum sum_of_slices(const Accum* own, int slices, int units) {
  Accum sum = *own;
  for (int slice = 1; slice < slices; ++slice) sum += own[slice * units];
  return sum;
}

// Each slice ends up with the rows it stores; slice 0 with the column sums, too.
template <class Config>
__device__ __forceinline__ void join_warps(int log2_slices, int own_slice,
                                           SharedStorage<Config>& smem, Totals<Config>& totals) {
#pragma unroll
  for (int j = 0; j < Config::kColumns; ++j) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      smem.product[row][j][threadIdx.x] = totals.product[row][j];
    }
    smem.column[j][threadIdx.x] = totals.column[j];
  }
  __syncthreads();
  const int slices = 1 << log2_slices, units = Config::kThreads >> log2_slices;
  const int unit = threadIdx.x & (units - 1);
#pragma unroll
  for (int j = 0; j < Config::kColumns; ++j) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if ((row & (slices - 1)) != own_slice) continue;
      totals.product[row][j] = sum_of_slices(&smem.product[row][j][unit], slices, units);
    }
    if (own_slice == 0) totals.column[j] = sum_of_slices(&smem.column[j][unit], slices, units);
  }
}

}  // namespace per_step_dense::tiny
