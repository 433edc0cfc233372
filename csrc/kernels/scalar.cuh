// The types elements are stored in, and those they are computed in.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/cuda.cuh"
#include "problem.h"

namespace per_step_dense {

namespace detail {
template <class Scalar>
struct AccumOf {
  using type = float;
};
template <>
struct AccumOf<double> {
  using type = double;
};
}  // namespace detail

// 16-bit elements are computed with and summed in float32.
template <class Scalar>
using AccumOf = typename detail::AccumOf<Scalar>::type;

__device__ __forceinline__ float to_accum(float value) { return value; }
__device__ __forceinline__ double to_accum(double value) { return value; }
__device__ __forceinline__ float to_accum(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_accum(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class Scalar>
__device__ __forceinline__ Scalar from_accum(AccumOf<Scalar> value) {
  return value;
}
template <>
__device__ __forceinline__ __half from_accum<__half>(float value) {
  return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_accum<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}

template <class Type>
struct TypeTag {
  using type = Type;
};

// Calls visit(TypeTag<Scalar>{}) for the element type of a dtype.
template <class Visit>
auto visit_scalar(DType dtype, Visit&& visit) {
  switch (dtype) {
    case DType::kFloat64:
      return visit(TypeTag<double>{});
    case DType::kFloat16:
      return visit(TypeTag<__half>{});
    case DType::kBFloat16:
      return visit(TypeTag<__nv_bfloat16>{});
    case DType::kFloat32:
    case DType::kTFloat32:
      break;
  }
  return visit(TypeTag<float>{});
}

}  // namespace per_step_dense
