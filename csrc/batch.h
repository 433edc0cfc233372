// The leading dimensions of (*, T, F) as one batch dimension.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/as_strided_native.h>

namespace per_step_dense {

// The product of all sizes but the last two. Of a tensor without elements it may be any number.
inline int64_t batch_size(const at::Tensor& tensor) {
  const auto leading = tensor.sizes().slice(0, tensor.dim() - 2);
  int64_t product = 1;
  for (const int64_t size : leading) {
    TORCH_CHECK_VALUE(!__builtin_mul_overflow(product, size, &product),
                      "per_step_dense: the leading sizes must have a product below 2^63; got ",
                      leading);
  }
  return product;
}

// (B, T, F): a view, or a copy where the strides of the leading dimensions do not join.
inline at::Tensor as_batch(const at::Tensor& tensor) {
  if (tensor.dim() == 3) return tensor;
  return tensor.reshape({batch_size(tensor), tensor.size(-2), tensor.size(-1)});
}

// tensor.permute({d0, d1, d2}) of a 3-D tensor, below autograd. On the CPU without a trip through
// the dispatcher: six of them were a seventh of a tiny call's instructions, forward and backward.
// Other backends may make their views otherwise.
inline at::Tensor permuted(const at::Tensor& tensor, int64_t d0, int64_t d1, int64_t d2) {
  if (!tensor.is_cpu()) return tensor.permute({d0, d1, d2});
  return at::native::as_strided_tensorimpl(
      tensor, {tensor.size(d0), tensor.size(d1), tensor.size(d2)},
      {tensor.stride(d0), tensor.stride(d1), tensor.stride(d2)}, tensor.storage_offset());
}

// The sizes of `tensor` with another last one.
inline at::DimVector sizes_with_last(const at::Tensor& tensor, int64_t last) {
  at::DimVector sizes(tensor.sizes());
  sizes.back() = last;
  return sizes;
}

}  // namespace per_step_dense
