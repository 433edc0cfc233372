#include "launch_cuda.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>

#include "check.h"
#include "choose_kernel_cuda.h"
#include "device_cuda.h"
#include "forced_tile.h"
#include "kernel_in_force.h"
#include "kernels/simt/simt.h"
#include "kernels/sm80/sm80.h"
#include "kernels/sm90/sm90.h"
#include "kernels/tiny/tiny.h"
#include "problem_text.h"

namespace per_step_dense::cuda {
namespace {

using at::Tensor;

template <class Problem>
PlannedCall make_plan(const Problem& problem, const Architecture& architecture,
                      KernelFamily family) {
  if (family != KernelFamily::kAuto) {
    const std::string obstacle = why_not(problem, family, architecture);
    TORCH_CHECK_VALUE(obstacle.empty(), "per_step_dense: ", text_of(family),
                      " cannot take this call: ", obstacle);
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
PlannedCall plan_once(const Problem& problem, c10::DeviceIndex device, KernelFamily family) {
  static thread_local PlanCache<Problem> cache;
  const Architecture& architecture = architecture_of_device(device);
  if (forced_tile().is_forced()) return make_plan(problem, architecture, family);
  return cache.find_or_plan(problem, device, family,
                            [&] { return make_plan(problem, architecture, family); });
}

Tensor workspace_for(const PlannedCall& call, const Tensor& like) {
  if (call.workspace_bytes == 0) return {};
  return at::empty({int64_t(call.workspace_bytes)}, like.options().dtype(at::kByte));
}

void* address_of(const Tensor& workspace) {
  return workspace.defined() ? workspace.mutable_data_ptr() : nullptr;
}

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
void run(const Problem& problem, const PlannedCall& call, const Tensor& like) {
  const ProfilerRange range([&] { return name_of_kernel(problem, call.choice); });
  const Tensor workspace = workspace_for(call, like);
  const Launcher<Problem> launch = launcher_of(problem, call.choice.family);
  const cudaError_t status = launch(problem, call.choice, address_of(workspace), current_stream());
  if (status == cudaSuccess) return;
  cudaGetLastError();  // it is said here, not once more by the next call
  TORCH_CHECK(false, "per_step_dense: ", text_of(problem, call.choice),
              " cannot be launched: ", cudaGetErrorString(status), " (", cudaGetErrorName(status),
              ")");
}

}  // namespace

cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

PlannedCall plan(const ForwardProblem& problem, c10::DeviceIndex device, KernelFamily family) {
  return plan_once(problem, device, family);
}

PlannedCall plan(const BackwardProblem& problem, c10::DeviceIndex device, KernelFamily family) {
  return plan_once(problem, device, family);
}

void launch(const ForwardProblem& problem, const PlannedCall& call, const Tensor& like) {
  run(problem, call, like);
}

void launch(const BackwardProblem& problem, const PlannedCall& call, const Tensor& like) {
  run(problem, call, like);
}

}  // namespace per_step_dense::cuda
