// CUDA tensors: from checked tensors to a Problem, a choice and its launches. Torch ends in this
// file.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include "aten.h"
#include "batch.h"
#include "check.h"
#include "choose_kernel_cuda.h"
#include "composite.h"
#include "device_cuda.h"
#include "forced_tile.h"
#include "kernel_in_force.h"
#include "kernels/activation_backward.h"
#include "kernels/simt/simt.h"
#include "kernels/sm80/sm80.h"
#include "kernels/sm90/sm90.h"
#include "kernels/tiny/tiny.h"
#include "plan_cache.h"
#include "problem_of.h"
#include "problem_text.h"
#include "profiler_range.h"

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

// Of what is added to.
View3 accumulator_view3(const std::optional<Tensor>& tensor) {
  if (!tensor) return {};
  return {tensor->mutable_data_ptr(), {tensor->stride(0), tensor->stride(1), tensor->stride(2)}};
}

View2 accumulator_view2(const std::optional<Tensor>& tensor) {
  if (!tensor) return {};
  return {tensor->mutable_data_ptr(), {tensor->stride(0), tensor->stride(1)}};
}

// ---- choosing -----------------------------------------------------------------------------------

template <class Problem>
PlannedCall make_plan(const Problem& problem, const Architecture& architecture,
                      KernelFamily family) {
  if (family != KernelFamily::kAuto) {
    const std::string obstacle = why_not(problem, family, architecture);
    TORCH_CHECK_VALUE(obstacle.empty(), "per_step_dense: use_kernel('", name_of(family),
                      "') cannot take this call: ", obstacle);
  }
  const Constraint constraint = constraint_of(family, forced_tile());
  if constexpr (kPassOf<Problem> == Pass::kBackward) {
    if (family == KernelFamily::kAuto && is_faster_apart(problem, architecture))
      return {{}, 0, /*goes_apart=*/true};
  }
  const auto [choice, is_second] = choose_kernel_on_device(problem, architecture, constraint);
  check_has_tile(choice, constraint);
  if (is_second) {
    TORCH_WARN_ONCE("per_step_dense: the driver cannot describe to sm90's kernels ",
                    text_of(problem, choice), "; that is slower");
  }
  return {choice, plan_of(problem, choice).workspace_bytes, /*goes_apart=*/false};
}

template <class Problem>
PlannedCall plan(const Problem& problem, c10::DeviceIndex device, KernelFamily family) {
  static thread_local PlanCache<Problem> cache;
  const Architecture& architecture = architecture_of_device(device);
  if (forced_tile().is_forced()) return make_plan(problem, architecture, family);
  return cache.find_or_plan(problem, device, family,
                            [&] { return make_plan(problem, architecture, family); });
}

// ---- launching ----------------------------------------------------------------------------------

Tensor workspace_for(const PlannedCall& call, const Tensor& like) {
  if (call.workspace_bytes == 0) return {};
  return at::empty({int64_t(call.workspace_bytes)}, like.options().dtype(at::kByte));
}

void* address_of(const Tensor& workspace) {
  return workspace.defined() ? workspace.mutable_data_ptr() : nullptr;
}

cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

template <class Problem>
using Launcher = cudaError_t (*)(const Problem&, const Choice&, void* workspace, cudaStream_t);

Launcher<ForwardProblem> launcher_of(const ForwardProblem&, KernelFamily family) {
  switch (family) {
    case KernelFamily::kTiny:
      return tiny::forward;
    case KernelFamily::kSm80:
      return sm80::forward;
    case KernelFamily::kSm90:
      return sm90::forward;
    default:
      return simt::forward;
  }
}

Launcher<BackwardProblem> launcher_of(const BackwardProblem&, KernelFamily family) {
  switch (family) {
    case KernelFamily::kTiny:
      return tiny::backward;
    case KernelFamily::kSm80:
      return sm80::backward;
    case KernelFamily::kSm90:
      return sm90::backward;
    default:
      return simt::backward;
  }
}

// "sm90 128x256"
template <class Problem>
std::string name_of_kernel(const Problem& problem, const Choice& choice) {
  return std::string(name_of(choice.family)) + " " +
         tile_name(choice.family, choice.tile, problem.dtype, kPassOf<Problem>);
}

template <class Problem>
void launch(const Problem& problem, const PlannedCall& call, const Tensor& like) {
  const ProfilerRange range([&] { return name_of_kernel(problem, call.choice); });
  const Tensor workspace = workspace_for(call, like);
  const Launcher<Problem> run = launcher_of(problem, call.choice.family);
  const cudaError_t status = run(problem, call.choice, address_of(workspace), current_stream());
  if (status == cudaSuccess) return;
  cudaGetLastError();  // it is said here, not once more by the next call
  TORCH_CHECK(false, "per_step_dense: ", text_of(problem, call.choice),
              " cannot be launched: ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
              ")");
}

template <class Compute>
auto by_aten(Compute&& compute) {
  const ProfilerRange range([] { return name_of(KernelFamily::kAten); });
  return compute();
}

// ---- the ops ------------------------------------------------------------------------------------

// `batch` is x with its leading dimensions joined. The outputs are yet to come.
ForwardProblem forward_problem(const Tensor& batch, const Tensor& weight,
                               const std::optional<Tensor>& bias, Activation activation,
                               bool wants_z) {
  ForwardProblem problem{};
  problem.b = batch.size(0);
  problem.t = batch.size(1);
  problem.i = batch.size(2);
  problem.o = weight.size(2);
  problem.dtype = matmul_dtype(dtype_of(batch));
  problem.activation = activation;
  problem.x = input_view3(batch);
  problem.weight = input_view3(weight);
  if (bias) problem.bias = input_view2(*bias);
  problem.y = contiguous_view3(address_to_come(), problem.t, problem.o);
  if (wants_z) problem.z = problem.y;
  return problem;
}

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

// `dz_batch` and `x_batch` have their leading dimensions joined; what is undefined is not there.
BackwardProblem backward_problem(const Tensor& dz_batch, const Tensor& x_batch,
                                 const Tensor& weight, bool wants_dbias) {
  BackwardProblem problem{};
  problem.b = dz_batch.size(0);
  problem.t = dz_batch.size(1);
  problem.o = dz_batch.size(2);
  problem.dtype = matmul_dtype(dtype_of(dz_batch));
  problem.dz = input_view3(dz_batch);
  problem.x = input_view3(x_batch);
  problem.weight = input_view3(weight);
  if (weight.defined()) {
    problem.i = weight.size(1);
    problem.dx = contiguous_view3(address_to_come(), problem.t, problem.i);
  }
  if (x_batch.defined()) {
    problem.i = x_batch.size(2);
    problem.dweight = contiguous_view3(address_to_come(), problem.i, problem.o);
  }
  if (wants_dbias) problem.dbias = contiguous_view2(address_to_come(), problem.o);
  return problem;
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

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
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
