// CUDA tensors: from checked tensors to a Problem, a choice and its launches.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "aten.h"
#include "batch.h"
#include "check.h"
#include "composite.h"
#include "device_cuda.h"
#include "forced_tile.h"
#include "kernel_in_force.h"
#include "kernels/activation_backward.h"
#include "launch_cuda.h"
#include "problem_cuda.h"
#include "problem_of.h"

namespace per_step_dense::cuda {
namespace {

using at::Tensor;

// Of what is added to.
View3 accumulator_view3(const std::optional<Tensor>& tensor) {
  if (!tensor) return {};
  return {tensor->mutable_data_ptr(), {tensor->stride(0), tensor->stride(1), tensor->stride(2)}};
}

View2 accumulator_view2(const std::optional<Tensor>& tensor) {
  if (!tensor) return {};
  return {tensor->mutable_data_ptr(), {tensor->stride(0), tensor->stride(1)}};
}

template <class Compute>
auto by_aten(Compute&& compute) {
  const ProfilerRange range([] { return name_of(KernelFamily::kAten); });
  return compute();
}

// ---- the ops ------------------------------------------------------------------------------------

// (y, z), where z is undefined unless it is wanted; nothing where ATen is to compute the call.
std::optional<std::tuple<Tensor, Tensor>> run_forward(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      KernelFamily family, bool wants_z) {
  const Activation parsed = parse_activation(activation);
  check_forward(x, weight, bias);
  const c10::cuda::CUDAGuard device(x.device());
  const Tensor batch = as_batch(x);
  ForwardProblem problem = forward_problem(batch, weight, bias, parsed, wants_z);
  const PlannedCall call = plan(problem, x.get_device(), family);
  if (call.choice.family == KernelFamily::kAten) return std::nullopt;

  const Tensor y = at::empty(sizes_with_last(x, problem.o), x.options());
  problem.y.data = y.mutable_data_ptr();
  Tensor z;
  if (wants_z) {
    z = at::empty(y.sizes(), y.options());
    problem.z.data = z.mutable_data_ptr();
  }
  launch(problem, call, y);
  return std::tuple(y, z);
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  const KernelFamily family = resolve_kernel(kernel);
  if (family == KernelFamily::kReference) return composite::forward(x, weight, bias, activation);
  const auto outputs = run_forward(x, weight, bias, activation, family, false);
  return outputs ? std::get<0>(*outputs)
                 : by_aten([&] { return aten::forward(x, weight, bias, activation); });
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  const KernelFamily family = resolve_kernel(kernel);
  if (family == KernelFamily::kReference) {
    return composite::forward_with_preactivation(x, weight, bias, activation);
  }
  const auto outputs = run_forward(x, weight, bias, activation, family, true);
  return outputs ? *outputs : by_aten([&] {
    return aten::forward_with_preactivation(x, weight, bias, activation);
  });
}

using Gradients = std::tuple<Tensor, Tensor, Tensor>;  // dx, dweight, dbias

// On the device of dz; checked.
Gradients run_backward(const Tensor& dz, const std::optional<Tensor>& x,
                       const std::optional<Tensor>& weight, bool wants_dbias, KernelFamily family) {
  const Tensor dz_batch = as_batch(dz), x_batch = x ? as_batch(*x) : Tensor();
  BackwardProblem problem =
      backward_problem(dz_batch, x_batch, weight.value_or(Tensor()), wants_dbias);
  const PlannedCall call =
      plan(problem, dz.get_device(), family_of_backward(family, problem.dtype));
  if (call.goes_apart) {
    const Tensor dx = std::get<0>(run_backward(dz, std::nullopt, weight, false, family));
    const auto [none, dweight, dbias] = run_backward(dz, x, std::nullopt, wants_dbias, family);
    return {dx, dweight, dbias};
  }
  if (call.choice.family == KernelFamily::kAten)
    return by_aten([&] { return aten::backward(dz, x, weight, wants_dbias); });

  Tensor dx, dweight, dbias;
  if (weight) {
    dx = at::empty(sizes_with_last(dz, problem.i), dz.options());
    problem.dx.data = dx.mutable_data_ptr();
  }
  if (x) {
    dweight = at::empty({problem.t, problem.i, problem.o}, dz.options());
    problem.dweight.data = dweight.mutable_data_ptr();
  }
  if (wants_dbias) {
    dbias = at::empty({problem.t, problem.o}, dz.options());
    problem.dbias.data = dbias.mutable_data_ptr();
  }
  launch(problem, call, dz);
  return {dx, dweight, dbias};
}

Gradients backward(const Tensor& dz, const std::optional<Tensor>& x,
                   const std::optional<Tensor>& weight, bool wants_dbias, std::string_view kernel) {
  const KernelFamily family = resolve_kernel(kernel);
  if (family == KernelFamily::kReference) return composite::backward(dz, x, weight, wants_dbias);
  check_backward(dz, x, weight);
  const c10::cuda::CUDAGuard device(dz.device());
  return run_backward(dz, x, weight, wants_dbias, family);
}

// How sums of `dz` get into `dweight` and `dbias`, whose dtypes agree.
Accumulation accumulation_of(const Tensor& dz, const std::optional<Tensor>& dweight,
                             const std::optional<Tensor>& dbias) {
  const std::optional<Tensor>& gradient = dweight ? dweight : dbias;
  const bool is_wider = gradient && gradient->scalar_type() != dz.scalar_type();
  return is_wider ? Accumulation::kAddFloat32 : Accumulation::kAdd;
}

// On the device of dz; checked.
Tensor run_backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                               const std::optional<Tensor>& weight,
                               const std::optional<Tensor>& dweight,
                               const std::optional<Tensor>& dbias, KernelFamily family) {
  const Tensor dz_batch = as_batch(dz), x_batch = x ? as_batch(*x) : Tensor();
  BackwardProblem problem = backward_problem(dz_batch, x_batch, weight.value_or(Tensor()),
                                             /*wants_dbias=*/dbias.has_value());
  problem.accumulation = accumulation_of(dz, dweight, dbias);
  problem.dweight = accumulator_view3(dweight);
  problem.dbias = accumulator_view2(dbias);
  const PlannedCall call =
      plan(problem, dz.get_device(), family_of_backward(family, problem.dtype));
  if (call.goes_apart) {
    run_backward_accumulate(dz, x, std::nullopt, dweight, dbias, family);
    return std::get<0>(run_backward(dz, std::nullopt, weight, false, family));
  }
  if (call.choice.family == KernelFamily::kAten) {
    return by_aten([&] { return aten::backward_accumulate(dz, x, weight, dweight, dbias); });
  }
  Tensor dx;
  if (weight) {
    dx = at::empty(sizes_with_last(dz, problem.i), dz.options());
    problem.dx.data = dx.mutable_data_ptr();
  }
  launch(problem, call, dz);
  return dx;
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  const KernelFamily family = resolve_kernel(kernel);
  if (family == KernelFamily::kReference) {
    return composite::backward_accumulate(dz, x, weight, dweight, dbias);
  }
  check_backward_accumulate(dz, x, weight, dweight, dbias);
  check_memory_of_accumulators(dz, x, weight, dweight, dbias);
  const c10::cuda::CUDAGuard device(dz.device());
  return run_backward_accumulate(dz, x, weight, dweight, dbias, family);
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation,
                           std::string_view kernel) {
  if (resolve_kernel(kernel) == KernelFamily::kReference) {
    return composite::activation_backward(dy, saved, activation);
  }
  const Activation parsed = parse_activation(activation);
  check_activation_backward(dy, saved);
  if (dy.dim() < 2) return aten::activation_backward(dy, saved, activation);
  const c10::cuda::CUDAGuard device(dy.device());
  architecture_of_device(dy.get_device());  // refuses those that the kernels cannot run on
  const Tensor dy_batch = as_batch(dy), saved_batch = as_batch(saved);
  const Tensor dz = at::empty(dy.sizes(), dy.options());
  ActivationBackwardProblem problem{};
  problem.b = dy_batch.size(0);
  problem.t = dy_batch.size(1);
  problem.o = dy_batch.size(2);
  problem.dtype = dtype_of(dy);
  problem.activation = parsed;
  problem.dy = input_view3(dy_batch);
  problem.saved = input_view3(saved_batch);
  problem.dz = contiguous_view3(dz.mutable_data_ptr(), problem.t, problem.o);
  C10_CUDA_CHECK(per_step_dense::activation_backward(problem, current_stream()));
  return dz;
}

}  // namespace
}  // namespace per_step_dense::cuda

TORCH_LIBRARY_IMPL(per_step_dense, CUDA, m) {
  m.impl("forward", per_step_dense::cuda::forward);
  m.impl("forward_with_preactivation", per_step_dense::cuda::forward_with_preactivation);
  m.impl("backward", per_step_dense::cuda::backward);
  m.impl("backward_accumulate", per_step_dense::cuda::backward_accumulate);
  m.impl("activation_backward", per_step_dense::cuda::activation_backward);
}
