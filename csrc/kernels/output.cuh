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

// `z` is the sum with its bias; y is computed from it before it is rounded to Scalar.
template <class Scalar>
__device__ __forceinline__ void store_output(const Gemm& gemm, int64_t t, int64_t m, int64_t n,
                                             AccumOf<Scalar> z) {
  if (gemm.z.data) ptx::st_global(element_at<Scalar>(gemm.z, t, m, n), from_accum<Scalar>(z));
  const AccumOf<Scalar> y = activate(gemm.activation, z);
  ptx::st_global(element_at<Scalar>(gemm.c, t, m, n), from_accum<Scalar>(y));
}

}  // namespace per_step_dense
