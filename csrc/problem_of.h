// From tensors to problems, as far as it does not matter where the tensors are: extents, strides,
// and addresses that the caller supplies.
#pragma once

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include "problem.h"

namespace per_step_dense {

// Of a checked tensor.
inline DType dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kDouble:
      return DType::kFloat64;
    case at::kHalf:
      return DType::kFloat16;
    case at::kBFloat16:
      return DType::kBFloat16;
    default:
      return DType::kFloat32;
  }
}

// What CUDA's products of these elements may be computed in. torch keeps its older switches
// (allow_tf32, set_float32_matmul_precision) in step with this one, and refuses to read them once
// this one was set.
inline DType matmul_dtype(DType elements) {
  if (elements != DType::kFloat32) return elements;
  const at::Float32Precision precision =
      at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL);
  return precision == at::Float32Precision::TF32 ? DType::kTFloat32 : DType::kFloat32;
}

// Where an output will be that is not allocated yet: no address, but one with the alignment that
// allocators give. What is chosen for it fits what is allocated later.
inline void* address_to_come() { return reinterpret_cast<void*>(uintptr_t{512}); }

// Outputs are contiguous: (*, T, F), which the kernels see as (B, T, F), or (T, I, O), or (T, O).
inline View3 contiguous_view3(void* data, int64_t rows, int64_t columns) {
  return {data, {rows * columns, columns, 1}};
}
inline View2 contiguous_view2(void* data, int64_t columns) { return {data, {columns, 1}}; }

}  // namespace per_step_dense
