// CPU tensors, and those of every backend that has no implementation of its own: the kernels in
// csrc/cpu/ for what they serve, else ATen; or whoever is asked for.
#include <torch/library.h>

#include "aten.h"
#include "check.h"
#include "composite.h"
#include "cpu/batch_invariant.h"
#include "cpu/dense.h"
#include "kernel_in_force.h"
#include "profiler_range.h"

namespace per_step_dense::cpu {
namespace {

using at::Tensor;

// Who computes, and what profilers call it.
template <class Function>
struct Implementation {
  Function* run;
  const char* name;

  template <class... Args>
  auto operator()(const Args&... args) const {
    const ProfilerRange range([this] { return name; });
    return run(args...);
  }
};

// Who has an op.
template <class Function>
struct Implementations {
  Function *reference, *batch_invariant, *avx2, *aten;
};

// Who is asked for, else the kernels where they serve, else ATen. `tensor` is the argument, named
// `name`, that decides.
template <class Function>
Implementation<Function> choose(std::string_view kernel, const char* name, const Tensor& tensor,
                                const Implementations<Function>& all) {
  const KernelFamily family = resolve_kernel(kernel);
  check_kernel_fits_device(family, name, tensor);
  if (family == KernelFamily::kReference) return {all.reference, name_of(family)};
  if (family == KernelFamily::kBatchInvariant) return {all.batch_invariant, name_of(family)};
  if (dense::serves(tensor)) return {all.avx2, "avx2"};
  return {all.aten, name_of(KernelFamily::kAten)};
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  const auto run = choose<ForwardFunction>(
      kernel, "x", x,
      {composite::forward, batch_invariant::forward, dense::forward, aten::forward});
  return run(x, weight, bias, activation);
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  const auto run = choose<ForwardWithPreactivationFunction>(
      kernel, "x", x,
      {composite::forward_with_preactivation, batch_invariant::forward_with_preactivation,
       dense::forward_with_preactivation, aten::forward_with_preactivation});
  return run(x, weight, bias, activation);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  const auto run = choose<BackwardFunction>(
      kernel, "dz", dz,
      {composite::backward, batch_invariant::backward, dense::backward, aten::backward});
  return run(dz, x, weight, wants_dbias);
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  const auto run = choose<BackwardAccumulateFunction>(
      kernel, "dz", dz,
      {composite::backward_accumulate, batch_invariant::backward_accumulate,
       dense::backward_accumulate, aten::backward_accumulate});
  return run(dz, x, weight, dweight, dbias);
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation,
                           std::string_view kernel) {
  const auto chosen = choose<ActivationBackwardFunction>(
      kernel, "dy", dy,
      {composite::activation_backward, batch_invariant::activation_backward,
       dense::activation_backward, aten::activation_backward});
  return chosen.run(dy, saved, activation);  // which profilers know by its operations
}

void implement(torch::Library& m) {
  m.impl("forward", forward);
  m.impl("forward_with_preactivation", forward_with_preactivation);
  m.impl("backward", backward);
  m.impl("backward_accumulate", backward_accumulate);
  m.impl("activation_backward", activation_backward);
}

}  // namespace
}  // namespace per_step_dense::cpu

TORCH_LIBRARY_IMPL(per_step_dense, CPU, m) { per_step_dense::cpu::implement(m); }

TORCH_LIBRARY_IMPL(per_step_dense, CompositeExplicitAutograd, m) {
  per_step_dense::cpu::implement(m);
}
