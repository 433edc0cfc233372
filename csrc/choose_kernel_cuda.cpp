#include "choose_kernel_cuda.h"

#include "kernels/sm90/sm90.h"

namespace per_step_dense {
namespace {

template <class Problem>
DeviceChoice choose(const Problem& problem, const Architecture& architecture,
                    const Constraint& constraint) {
  const Choice choice = choose_kernel(problem, architecture, constraint);
  const bool is_final = choice.family != KernelFamily::kSm90 ||
                        constraint.family != KernelFamily::kAuto ||
                        sm90::can_describe(problem, choice);
  if (is_final) return {choice, false};
  Architecture without_tensor_maps = architecture;
  without_tensor_maps.sm90 = Sm90Support::kNoTensorMaps;
  return {choose_kernel(problem, without_tensor_maps, constraint), true};
}

}  // namespace

DeviceChoice choose_kernel_on_device(const ForwardProblem& problem,
                                     const Architecture& architecture,
                                     const Constraint& constraint) {
  return choose(problem, architecture, constraint);
}

DeviceChoice choose_kernel_on_device(const BackwardProblem& problem,
                                     const Architecture& architecture,
                                     const Constraint& constraint) {
  return choose(problem, architecture, constraint);
}

}  // namespace per_step_dense
