// What becomes of a finished sum: bias, activation, stores.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/gemm.h"
#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"

namespace per_step_dense {

template <class Scalar>
__device__ __forceinline__ Scalar* element_at(const Matrix& matrix, int64_t t, int64_t m,
                                              int64_t n) {
  return static_cast<Scalar*>(matrix.data) + t * matrix.stride_t + m * matrix.stride_m +
         n * matrix.stride_n;
}

template <class Scalar>
__device__ __forceinline__ Scalar* element_at(const Vector& vector, int64_t t, int64_t n) {
  return static_cast<Scalar*>(vector.data) + t * vector.stride_t + n * vector.stride_n;
}

// 0 where there is no bias.
template <class Scalar>
__device__ __forceinline__ AccumOf<Scalar> bias_at(const Gemm& gemm, int64_t t, int64_t n) {
  if (!gemm.bias.data) return 0;
  return to_accum(ptx::ld_global_nc<Scalar>(element_at<Scalar>(gemm.bias, t, n)));
}

// An element of c or of the column sums.
template <class Out>
__device__ __forceinline__ void store_element(Accumulation accumulation, Out* gmem,
                                              AccumOf<Out> value) {
  if (accumulation != Accumulation::kOverwrite) value += to_accum(ptx::ld_global(gmem));
  ptx::st_global(gmem, from_accum<Out>(value));
}

// The same, where the type follows from how the product accumulates. `at` are the indices.
template <class Scalar, class Outputs, class... Index>
__device__ __forceinline__ void store_result(const Gemm& gemm, const Outputs& outputs,
                                             AccumOf<Scalar> value, Index... at) {
  if (gemm.accumulation == Accumulation::kAddFloat32) {
    store_element(gemm.accumulation, element_at<AccumOf<Scalar>>(outputs, at...), value);
  } else {
    store_element(gemm.accumulation, element_at<Scalar>(outputs, at...), value);
  }
}

// `z` is the sum with its bias; y is computed from it before it is rounded to Scalar.
template <class Scalar>
__device__ __forceinline__ void store_output(const Gemm& gemm, int64_t t, int64_t m, int64_t n,
                                             AccumOf<Scalar> z) {
  if (gemm.z.data) ptx::st_global(element_at<Scalar>(gemm.z, t, m, n), from_accum<Scalar>(z));
  const AccumOf<Scalar> y = activate<Scalar>(gemm.activation, z);
  store_result<Scalar>(gemm, gemm.c, y, t, m, n);
}

}  // namespace per_step_dense
