// Sums over the lanes of a warp.
#pragma once

#include "kernels/cuda.cuh"

namespace per_step_dense {

// Of this lane's value and those of the lanes before it. By all lanes.
template <class Value>
__device__ __forceinline__ Value sum_up_to_lane(Value value) {
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const Value other = __shfl_up_sync(0xffffffffu, value, distance);
    if (threadIdx.x % 32 >= unsigned(distance)) value += other;
  }
  return value;
}

}  // namespace per_step_dense
