// dz = dy * activation'(saved): one thread an element, or 16 bytes of neighbours, in steps of the
// grid.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/pack.cuh"
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
__device__ __forceinline__ Scalar gradient_of(Activation activation, Scalar dy, Scalar saved) {
  return from_accum<Scalar>(activation_gradient<Scalar>(activation, to_accum(dy), to_accum(saved)));
}

template <class Scalar, int kElems>
__device__ __forceinline__ Pack<Scalar, kElems> gradients_of(Activation activation,
                                                             const Pack<Scalar, kElems>& dy,
                                                             const Pack<Scalar, kElems>& saved) {
  Pack<Scalar, kElems> dz;
  visit_activation(activation, [&](auto tag) {
#pragma unroll
    for (int e = 0; e < kElems; ++e) dz.elem[e] = gradient_of(tag.value, dy.elem[e], saved.elem[e]);
  });
  return dz;
}

// Tensors with any strides.
template <class Scalar>
__global__ void __launch_bounds__(kActivationBackwardThreads)
    activation_backward_kernel(const __grid_constant__ ActivationBackwardProblem problem) {
  const int64_t elements = problem.b * problem.t * problem.o;
  const int64_t step = int64_t(gridDim.x) * kActivationBackwardThreads;
  int64_t element = int64_t(blockIdx.x) * kActivationBackwardThreads + threadIdx.x;
  for (; element < elements; element += step) {
    const Index3 at = unravel(element, problem.t, problem.o);
    const Scalar dy = ptx::ld_global_nc<Scalar>(element_at<Scalar>(problem.dy, at));
    const Scalar saved = ptx::ld_global_nc<Scalar>(element_at<Scalar>(problem.saved, at));
    ptx::st_global(element_at<Scalar>(problem.dz, at), gradient_of(problem.activation, dy, saved));
  }
}

// Tensors without b and t that are aligned to 16 bytes; a whole number of vectors.
template <class Scalar>
__global__ void __launch_bounds__(kActivationBackwardThreads) activation_backward_of_vectors_kernel(
    const __grid_constant__ ActivationBackwardProblem problem) {
  constexpr int kElems = kVectorBytes / sizeof(Scalar);
  using Vector = Pack<Scalar, kElems>;
  using Raw = typename Vector::Raw;
  const auto* const all_dy = static_cast<const Raw*>(problem.dy.data);
  const auto* const all_saved = static_cast<const Raw*>(problem.saved.data);
  auto* const all_dz = static_cast<Raw*>(problem.dz.data);
  const int64_t vectors = problem.o / kElems;
  const int64_t step = int64_t(gridDim.x) * kActivationBackwardThreads;
  int64_t vector = int64_t(blockIdx.x) * kActivationBackwardThreads + threadIdx.x;
  for (; vector < vectors; vector += step) {
    const Vector dy = Vector::from_raw(ptx::ld_global_nc(all_dy + vector));
    const Vector saved = Vector::from_raw(ptx::ld_global_nc(all_saved + vector));
    ptx::st_global(all_dz + vector, gradients_of(problem.activation, dy, saved).raw());
  }
}

}  // namespace per_step_dense
