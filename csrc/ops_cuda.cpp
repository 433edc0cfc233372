// CUDA tensors: from checked tensors to a Problem to a launch. Torch ends in this file.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "aten.h"
#include "batch.h"
#include "check.h"
#include "choose_kernel.h"
#include "kernels/activation_backward.h"
#include "kernels/simt/simt.h"

namespace per_step_dense::cuda {
namespace {

using at::Tensor;

// The kernels' views of inputs, which they only read (and a lazily copied tensor stays uncopied).
// An undefined tensor becomes an absent view.
View3 input_view3(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {const_cast<void*>(tensor.const_data_ptr()),
          {tensor.stride(0), tensor.stride(1), tensor.stride(2)}};
}

View2 input_view2(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {const_cast<void*>(tensor.const_data_ptr()), {tensor.stride(0), tensor.stride(1)}};
}

// Outputs are contiguous: (*, T, F), which the kernels see as (B, T, F), or (T, I, O).
View3 output_view3(const Tensor& output) {
  const int64_t rows = output.size(-2), columns = output.size(-1);
  return {output.mutable_data_ptr(), {rows * columns, columns, 1}};
}

View2 output_view2(const Tensor& output) {
  return {output.mutable_data_ptr(), {output.size(1), 1}};
}

cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

void run_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                 Activation activation, const Tensor& y, const Tensor* z) {
  const c10::cuda::CUDAGuard device(x.device());
  const Tensor batch = as_batch(x);
  ForwardProblem problem{};
  problem.b = batch.size(0);
  problem.t = batch.size(1);
  problem.i = batch.size(2);
  problem.o = weight.size(2);
  problem.dtype = DType::kFloat32;
  problem.activation = activation;
  problem.x = input_view3(batch);
  problem.weight = input_view3(weight);
  problem.bias = input_view2(bias ? *bias : Tensor());
  problem.y = output_view3(y);
  if (z) problem.z = output_view3(*z);
  C10_CUDA_CHECK(simt::forward(problem, current_stream()));
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation) {
  if (choose_kernel(x) == KernelFamily::kAten) {
    return aten::forward(x, weight, bias, activation);
  }
  const Activation parsed = parse_activation(activation);
  check_forward(x, weight, bias);
  const Tensor y = at::empty(sizes_with_last(x, weight.size(2)), x.options());
  run_forward(x, weight, bias, parsed, y, nullptr);
  return y;
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation) {
  if (choose_kernel(x) == KernelFamily::kAten) {
    return aten::forward_with_preactivation(x, weight, bias, activation);
  }
  const Activation parsed = parse_activation(activation);
  check_forward(x, weight, bias);
  const Tensor y = at::empty(sizes_with_last(x, weight.size(2)), x.options());
  const Tensor z = at::empty(y.sizes(), y.options());
  run_forward(x, weight, bias, parsed, y, &z);
  return {y, z};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias) {
  if (choose_kernel(dz) == KernelFamily::kAten) {
    return aten::backward(dz, x, weight, wants_dbias);
  }
  check_backward(dz, x, weight);
  const c10::cuda::CUDAGuard device(dz.device());
  const Tensor dz_batch = as_batch(dz), x_batch = x ? as_batch(*x) : Tensor();
  BackwardProblem problem{};
  problem.b = dz_batch.size(0);
  problem.t = dz_batch.size(1);
  problem.o = dz_batch.size(2);
  problem.dtype = DType::kFloat32;
  problem.dz = input_view3(dz_batch);
  Tensor dx, dweight, dbias;
  if (weight) {
    problem.i = weight->size(1);
    problem.weight = input_view3(*weight);
    dx = at::empty(sizes_with_last(dz, problem.i), dz.options());
    problem.dx = output_view3(dx);
  }
  if (x) {
    problem.i = x_batch.size(2);
    problem.x = input_view3(x_batch);
    dweight = at::empty({problem.t, problem.i, problem.o}, dz.options());
    problem.dweight = output_view3(dweight);
  }
  if (wants_dbias) {
    dbias = at::empty({problem.t, problem.o}, dz.options());
    problem.dbias = output_view2(dbias);
  }
  C10_CUDA_CHECK(simt::backward(problem, current_stream()));
  return {dx, dweight, dbias};
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
  if (choose_kernel(dy) == KernelFamily::kAten || dy.dim() < 2) {
    return aten::activation_backward(dy, saved, activation);
  }
  ActivationBackwardProblem problem{};
  problem.activation = parse_activation(activation);
  check_activation_backward(dy, saved);
  const c10::cuda::CUDAGuard device(dy.device());
  const Tensor dy_batch = as_batch(dy), saved_batch = as_batch(saved);
  const Tensor dz = at::empty(dy.sizes(), dy.options());
  problem.b = dy_batch.size(0);
  problem.t = dy_batch.size(1);
  problem.o = dy_batch.size(2);
  problem.dtype = DType::kFloat32;
  problem.dy = input_view3(dy_batch);
  problem.saved = input_view3(saved_batch);
  problem.dz = output_view3(dz);
  C10_CUDA_CHECK(per_step_dense::activation_backward(problem, current_stream()));
  return dz;
}

}  // namespace
}  // namespace per_step_dense::cuda

TORCH_LIBRARY_IMPL(per_step_dense, CUDA, m) {
  m.impl("forward", per_step_dense::cuda::forward);
  m.impl("forward_with_preactivation", per_step_dense::cuda::forward_with_preactivation);
  m.impl("backward", per_step_dense::cuda::backward);
  m.impl("activation_backward", per_step_dense::cuda::activation_backward);
}
