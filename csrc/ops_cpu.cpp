// CPU tensors, and those of every backend that has no implementation of its own: the kernels in
// csrc/cpu/ for what they serve, else ATen; or the composite where "reference" is asked for.
#include <torch/library.h>

#include "aten.h"
#include "check.h"
#include "composite.h"
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

// The composite where "reference" is asked for, else the kernels where they serve, else ATen.
// `tensor` is the argument, named `name`, that decides.
template <class Function>
Implementation<Function> choose(std::string_view kernel, const char* name, const Tensor& tensor,
                                Function* composite, Function* dense, Function* aten) {
  const KernelFamily family = resolve_kernel(kernel);
  check_kernel_fits_device(family, name, tensor);
  if (family == KernelFamily::kReference) return {composite, name_of(family)};
  if (dense::serves(tensor)) return {dense, "avx2"};
  return {aten, name_of(KernelFamily::kAten)};
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  const auto run = choose(kernel, "x", x, composite::forward, dense::forward, aten::forward);
  return run(x, weight, bias, activation);
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  const auto run = choose(kernel, "x", x, composite::forward_with_preactivation,
                          dense::forward_with_preactivation, aten::forward_with_preactivation);
  return run(x, weight, bias, activation);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  const auto run = choose(kernel, "dz", dz, composite::backward, dense::backward, aten::backward);
  return run(dz, x, weight, wants_dbias);
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  const auto run = choose(kernel, "dz", dz, composite::backward_accumulate,
                          dense::backward_accumulate, aten::backward_accumulate);
  return run(dz, x, weight, dweight, dbias);
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
  const auto run = dense::serves(dy) ? dense::activation_backward : aten::activation_backward;
  return run(dy, saved, activation);
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
