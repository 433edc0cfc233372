// Differentiation, any number of times, in reverse mode, by torch.func as well; in forward mode the
// composite takes its place.
//
// The nodes are written by hand, as those of torch's own ops are generated: autograd::Function
// adds a quarter to a tiny forward, and has no place for absent arguments.
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/expand.h>
#include <ATen/ops/new_empty.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/library.h>

#include "autograd_node.h"
#include "autograd_rows.h"
#include "check.h"
#include "composite.h"
#include "kernel_in_force.h"
#include "ops.h"

namespace per_step_dense {
namespace {

using at::Tensor;
using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

template <class... Tensors>
bool requires_grad(const Tensors&... tensors) {
  return at::GradMode::is_enabled() && ((tensors.defined() && tensors.requires_grad()) || ...);
}

const Tensor& tensor_or_undefined(const std::optional<Tensor>& tensor) {
  static const Tensor undefined;
  return tensor ? *tensor : undefined;
}

// Whether functorch's interpreters or forward-mode AD look on.
template <class... Tensors>
bool is_transformed(const Tensors&... tensors) {
  constexpr c10::DispatchKeySet functorch_modes{c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
                                                c10::DispatchKey::FuncTorchDynamicLayerBackMode};
  return c10::impl::tls_local_dispatch_key_set().included_.has_any(functorch_modes) ||
         (torch::autograd::isFwGradDefined(tensors) || ...);
}

// Forward-mode AD has no use for a node. Nested tensors are refused by the composite's checks;
// below it torch would, in words that do not say why.
template <class... Tensors>
bool has_to_step_aside(const Tensors&... tensors) {
  return ((torch::autograd::isFwGradDefined(tensors) || tensors.is_nested()) || ...);
}

// What the call asks for, settled once: the ops below this one are given the name, and the node
// keeps it for the backward, which may run in another thread.
//
// A trace outlives the thread's state, so that nothing of that is written into it: what the graph
// leaves to "auto" is settled whenever it runs.
KernelFamily settle_kernel(std::string_view name) {
  const KernelFamily family = parse_kernel(name);
  if (family != KernelFamily::kAuto || kernel_in_force() == KernelFamily::kAuto) return family;
  const bool is_tracing =
      c10::impl::TorchDispatchModeTLS::get_mode(c10::impl::TorchDispatchModeKey::PROXY).has_value();
  return is_tracing ? KernelFamily::kAuto : kernel_in_force();
}

// Whether the composite serves the call; refuses where it has to and a kernel was asked for.
template <class... Tensors>
bool is_for_composite(KernelFamily kernel, const Tensors&... tensors) {
  if (kernel == KernelFamily::kReference) return true;
  if (!has_to_step_aside(tensors...)) return false;
  check_composite_may_serve(kernel, "forward-mode AD or nested tensors");
  return true;
}

// ---- forward ------------------------------------------------------------------------------------

// Inputs: the gradients of y and, where the node has that output, of z. As an output z has a
// gradient of its own, which is what a second differentiation sends back to it.
struct PerStepDenseBackward : Node {
  SavedVariable x;       // where weight needs a gradient
  SavedVariable weight;  // where x does
  SavedVariable result;  // z or y, as differentiates_from_z() says; absent without an activation
  Activation activation = Activation::kNone;
  KernelFamily kernel = KernelFamily::kAuto;  // the forward's
  SavedRows rows;

  variable_list apply(variable_list&& grads) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const KernelGuard only_the_forward_counts(KernelFamily::kAuto);
    Tensor dz = grads[0];
    if (dz.defined() && activation != Activation::kNone) {
      dz = ops::activation_backward(dz, result.unpack(getptr()), name_of(activation),
                                    name_of(kernel));
    }
    if (grads.size() == 2 && grads[1].defined()) dz = dz.defined() ? dz.add(grads[1]) : grads[1];
    if (!dz.defined()) return {Tensor(), Tensor(), Tensor()};

    const bool wants_dx = task_should_compute_output(0),
               wants_dweight = task_should_compute_output(1),
               wants_dbias = task_should_compute_output(2);
    auto [dx, dweight, dbias] = ops::backward(
        rows.unpack(), dz, wants_dweight ? std::optional(x.unpack()) : std::nullopt,
        wants_dx ? std::optional(weight.unpack()) : std::nullopt, wants_dbias, name_of(kernel));
    return {std::move(dx), std::move(dweight), std::move(dbias)};
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    x.reset_data();
    weight.reset_data();
    result.reset_data();
    rows.reset();
  }

  std::string name() const override { return "PerStepDenseBackward"; }
};

// (y, z), where z is undefined unless it is wanted.
std::tuple<Tensor, Tensor> recorded_forward(const Rows& rows, const Tensor& x, const Tensor& weight,
                                            const std::optional<Tensor>& bias,
                                            Activation activation, KernelFamily kernel,
                                            bool wants_z) {
  Tensor y, z;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    if (wants_z) {
      std::tie(y, z) = ops::forward_with_preactivation(rows, x, weight, bias, name_of(activation),
                                                       name_of(kernel));
    } else {
      y = ops::forward(rows, x, weight, bias, name_of(activation), name_of(kernel));
    }
  }
  const auto node = make_node<PerStepDenseBackward>(x, weight, tensor_or_undefined(bias));
  torch::autograd::set_history(y, node);
  if (wants_z) torch::autograd::set_history(z, node);
  if (weight.requires_grad()) node->x = save_input(x);
  if (x.requires_grad()) node->weight = save_input(weight);
  if (activation != Activation::kNone) {
    node->result = save_output(differentiates_from_z(activation) ? z : y);
  }
  node->activation = activation;
  node->kernel = kernel;
  node->rows.save(rows);
  return {y, z};
}

Tensor forward(const Rows& rows, const Tensor& x, const Tensor& weight,
               const std::optional<Tensor>& bias, std::string_view activation,
               std::string_view kernel) {
  const KernelFamily family = settle_kernel(kernel);
  if (is_for_composite(family, x, weight, tensor_or_undefined(bias))) {
    return composite::forward(rows, x, weight, bias, activation);
  }
  if (requires_grad(x, weight, tensor_or_undefined(bias))) {
    const Activation parsed = parse_activation(activation);
    return std::get<0>(
        recorded_forward(rows, x, weight, bias, parsed, family, differentiates_from_z(parsed)));
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return ops::forward(rows, x, weight, bias, activation, name_of(family));
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Rows& rows, const Tensor& x,
                                                      const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  const KernelFamily family = settle_kernel(kernel);
  if (is_for_composite(family, x, weight, tensor_or_undefined(bias))) {
    return composite::forward_with_preactivation(rows, x, weight, bias, activation);
  }
  if (requires_grad(x, weight, tensor_or_undefined(bias))) {
    return recorded_forward(rows, x, weight, bias, parse_activation(activation), family, true);
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return ops::forward_with_preactivation(rows, x, weight, bias, activation, name_of(family));
}

// ---- backward -----------------------------------------------------------------------------------

// dx = dz W^T, dW = x^T dz and db = sum dz are linear in dz, and each in one factor more, so with
// the incoming gx, gW, gb:
//   to dz      gx W + gb + x gW      two forwards
//   to x       dz gW^T               } one backward of dz, with gx in the place of x
//   to weight  gx^T dz               } and gW in the place of weight
struct PerStepDenseBackwardBackward : Node {
  SavedVariable dz, x, weight;
  KernelFamily kernel = KernelFamily::kAuto;  // the first forward's
  SavedRows rows;

  variable_list apply(variable_list&& grads) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const KernelGuard only_the_forward_counts(KernelFamily::kAuto);
    const Tensor &gx = grads[0], &gweight = grads[1], &gbias = grads[2];
    Tensor to_dz, to_x, to_weight;
    if (task_should_compute_output(0)) to_dz = gradient_of_dz(gx, gweight, gbias);
    const bool wants_x = task_should_compute_output(1) && gweight.defined(),
               wants_weight = task_should_compute_output(2) && gx.defined();
    if (wants_x || wants_weight) {
      std::tie(to_x, to_weight, std::ignore) =
          ops::backward(rows.unpack(), dz.unpack(), wants_weight ? std::optional(gx) : std::nullopt,
                        wants_x ? std::optional(gweight) : std::nullopt, false, name_of(kernel));
    }
    return {std::move(to_dz), std::move(to_x), std::move(to_weight)};
  }

  void release_variables() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    dz.reset_data();
    x.reset_data();
    weight.reset_data();
    rows.reset();
  }

  std::string name() const override { return "PerStepDenseBackwardBackward"; }

 private:
  Tensor gradient_of_dz(const Tensor& gx, const Tensor& gweight, const Tensor& gbias) const {
    const Rows own_rows = rows.unpack();
    Tensor sum;
    if (gx.defined()) {
      const auto bias = gbias.defined() ? std::optional(gbias) : std::nullopt;
      sum = ops::forward(own_rows, gx, weight.unpack(), bias, "none", name_of(kernel));
    } else if (gbias.defined()) {
      sum = repeated(gbias, own_rows);
    }
    if (!gweight.defined()) return sum;
    const Tensor product =
        ops::forward(own_rows, x.unpack(), gweight, std::nullopt, "none", name_of(kernel));
    return sum.defined() ? sum.add(product) : product;
  }

  // For every row of its step, as the sums of no terms with that bias.
  Tensor repeated(const Tensor& gbias, const Rows& own_rows) const {
    const Tensor own_dz = dz.unpack();
    if (!own_rows.are_ragged()) return gbias.expand_symint(own_dz.sym_sizes());
    c10::SymDimVector sizes(own_dz.sym_sizes().begin(), own_dz.sym_sizes().end());
    sizes.back() = 0;
    const Tensor no_x = own_dz.new_empty_symint(sizes);
    const Tensor no_weight = own_dz.new_empty_symint({own_rows.steps, 0, own_dz.sym_size(-1)});
    return ops::forward(own_rows, no_x, no_weight, gbias, "none", name_of(kernel));
  }
};

std::tuple<Tensor, Tensor, Tensor> recorded_backward(const Rows& rows, const Tensor& dz,
                                                     const std::optional<Tensor>& x,
                                                     const std::optional<Tensor>& weight,
                                                     bool wants_dbias, KernelFamily kernel) {
  std::tuple<Tensor, Tensor, Tensor> outputs;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    outputs = ops::backward(rows, dz, x, weight, wants_dbias, name_of(kernel));
  }
  const auto node = make_node<PerStepDenseBackwardBackward>(dz, tensor_or_undefined(x),
                                                            tensor_or_undefined(weight));
  const auto& [dx, dweight, dbias] = outputs;
  for (const Tensor& output : {dx, dweight, dbias}) torch::autograd::set_history(output, node);
  node->kernel = kernel;
  node->rows.save(rows);
  node->dz = save_input(dz);
  if (x) node->x = save_input(*x);
  if (weight) node->weight = save_input(*weight);
  return outputs;
}

std::tuple<Tensor, Tensor, Tensor> backward(const Rows& rows, const Tensor& dz,
                                            const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  const KernelFamily family = settle_kernel(kernel);
  if (is_for_composite(family, dz, tensor_or_undefined(x), tensor_or_undefined(weight))) {
    return composite::backward(rows, dz, x, weight, wants_dbias);
  }
  if (requires_grad(dz, tensor_or_undefined(x), tensor_or_undefined(weight))) {
    return recorded_backward(rows, dz, x, weight, wants_dbias, family);
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return ops::backward(rows, dz, x, weight, wants_dbias, name_of(family));
}

// ---- backward_accumulate ------------------------------------------------------------------------

// No node: what is added to has lost what it held.
Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  const KernelFamily family = settle_kernel(kernel);
  TORCH_CHECK_VALUE(
      !requires_grad(dz, tensor_or_undefined(x), tensor_or_undefined(weight),
                     tensor_or_undefined(dweight), tensor_or_undefined(dbias)),
      "per_step_dense: backward_accumulate is not differentiable; call it under torch.no_grad(), "
      "or with tensors that do not require gradients");
  if (is_transformed(dz, tensor_or_undefined(x), tensor_or_undefined(weight),
                     tensor_or_undefined(dweight), tensor_or_undefined(dbias))) {
    refuse_to_transform_accumulation();
  }
  Tensor dx;
  {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    dx = ops::backward_accumulate(dz, x, weight, dweight, dbias, name_of(family));
  }
  for (const auto& written : {dweight, dbias}) {
    if (written) torch::autograd::impl::bump_version(*written);
  }
  return dx;
}

// ---- activation_backward ------------------------------------------------------------------------

// Only a second differentiation needs its derivative, and ATen has those of every activation.
Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation,
                           std::string_view kernel) {
  const KernelFamily family = settle_kernel(kernel);
  if (is_for_composite(family, dy, saved) || requires_grad(dy, saved)) {
    return composite::activation_backward(dy, saved, activation);
  }
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  return ops::activation_backward(dy, saved, activation, name_of(family));
}

// ---- what is registered -------------------------------------------------------------------------

namespace all_rows {

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  return per_step_dense::forward({}, x, weight, bias, activation, kernel);
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  return per_step_dense::forward_with_preactivation({}, x, weight, bias, activation, kernel);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  return per_step_dense::backward({}, dz, x, weight, wants_dbias, kernel);
}

}  // namespace all_rows

namespace ragged {

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               const Tensor& sizes, std::string_view activation, std::string_view kernel) {
  check_ragged_forward(x, weight, bias, sizes);
  const Rows rows{sizes, weight.sym_size(0)};
  return per_step_dense::forward(rows, x, weight, bias, activation, kernel);
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      const Tensor& sizes,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  check_ragged_forward(x, weight, bias, sizes);
  const Rows rows{sizes, weight.sym_size(0)};
  return per_step_dense::forward_with_preactivation(rows, x, weight, bias, activation, kernel);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight,
                                            const Tensor& sizes, c10::SymInt steps,
                                            bool wants_dbias, std::string_view kernel) {
  check_ragged_backward(dz, x, weight, sizes, steps);
  const Rows rows{sizes, std::move(steps)};
  return per_step_dense::backward(rows, dz, x, weight, wants_dbias, kernel);
}

}  // namespace ragged

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, Autograd, m) {
  using namespace per_step_dense;
  m.impl("forward", all_rows::forward);
  m.impl("forward_with_preactivation", all_rows::forward_with_preactivation);
  m.impl("backward", all_rows::backward);
  m.impl("ragged_forward", ragged::forward);
  m.impl("ragged_forward_with_preactivation", ragged::forward_with_preactivation);
  m.impl("ragged_backward", ragged::backward);
  m.impl("backward_accumulate", backward_accumulate);
  m.impl("activation_backward", activation_backward);
}
