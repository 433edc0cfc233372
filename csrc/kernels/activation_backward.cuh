// dz = dy * activation'(saved): one thread an element, in steps of the grid.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"
#include "problem.h"

namespace per_step_dense {

inline constexpr int kActivationBackwardThreads = 256;

struct Index3 {
  int64_t b, t, o;
};

__device__ __forceinline__ Index3 unravel(int64_t element, int64_t t, int64_t o) {
  if (element < o) return {0, 0, element};  // spares contiguous problems the divisions
  const int64_t row = element / o;
  return {row / t, row % t, element % o};
}

template <class Scalar>
__device__ __forceinline__ Scalar* element_at(const View3& view, const Index3& at) {
  return static_cast<Scalar*>(view.data) + at.b * view.stride[0] + at.t * view.stride[1] +
         at.o * view.stride[2];
}

template <class Scalar>
__global__ void __launch_bounds__(kActivationBackwardThreads)
    activation_backward_kernel(const __grid_constant__ ActivationBackwardProblem problem) {
  const int64_t elements = problem.b * problem.t * problem.o;
  const int64_t step = int64_t(gridDim.x) * kActivationBackwardThreads;
  int64_t element = int64_t(blockIdx.x) * kActivationBackwardThreads + threadIdx.x;
  for (; element < elements; element += step) {
    const Index3 at = unravel(element, problem.t, problem.o);
    const auto dy = to_accum(ptx::ld_global_nc<Scalar>(element_at<Scalar>(problem.dy, at)));
    const auto saved = to_accum(ptx::ld_global_nc<Scalar>(element_at<Scalar>(problem.saved, at)));
    const auto dz = activation_gradient(problem.activation, dy, saved);
    ptx::st_global(element_at<Scalar>(problem.dz, at), from_accum<Scalar>(dz));
  }
}

}  // namespace per_step_dense
