// The ops' schemas, and the calls through the dispatcher.
//
// Both products are bilinear and each other's derivatives, so the set is closed: the gradient of
// forward is backward, and the gradient of backward is made of forward and backward.
#include "ops.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

TORCH_LIBRARY(per_step_dense, m) {
  const std::vector<at::Tag> tags{at::Tag::pt2_compliant_tag};

  // y[..., t, :] = activation(x[..., t, :] @ weight[t] + bias[t]), contiguous. `family` is the name
  // of one of kernels; "auto" means what use_kernel has put in force, or else the chooser's.
  m.def(
      "forward(Tensor x, Tensor weight, Tensor? bias=None, str activation=\"none\","
      " str family=\"auto\") -> Tensor",
      tags);

  // Also the value before the activation, which some derivatives need.
  m.def(
      "forward_with_preactivation(Tensor x, Tensor weight, Tensor? bias, str activation,"
      " str family=\"auto\") -> (Tensor y, Tensor z)",
      tags);

  // The gradients of z = x @ weight + bias: dx where weight is given, dweight where x is given,
  // dbias where it is wanted; the others come out undefined (None).
  m.def(
      "backward(Tensor dz, Tensor? x, Tensor? weight, bool wants_dbias,"
      " str family=\"auto\") -> (Tensor dx, Tensor dweight, Tensor dbias)",
      tags);

  // The same gradients, of which those of weight and bias are added to what dweight and dbias hold:
  // of the elements' dtype or, for 16-bit elements, float32, into which sums go unrounded. x is
  // given where dweight is; dx is overwritten, and undefined without weight. For what accumulates
  // gradients by itself, below autograd: it has no derivative, and refuses tensors that require
  // one.
  m.def(
      "backward_accumulate(Tensor dz, Tensor? x, Tensor? weight, Tensor(a!)? dweight,"
      " Tensor(b!)? dbias, str family=\"auto\") -> Tensor",
      tags);

  // The same of a batch whose samples differ in length. x is (R, I), the rows of a packed sequence,
  // and sizes its batch_sizes; or x is (B, T, I), padded, and sizes the samples' lengths (B). sizes
  // are int64, and on the CPU wherever x is. Padding comes out zero, and no result depends on it.
  m.def(
      "ragged_forward(Tensor x, Tensor weight, Tensor? bias, Tensor sizes,"
      " str activation=\"none\", str family=\"auto\") -> Tensor",
      tags);
  m.def(
      "ragged_forward_with_preactivation(Tensor x, Tensor weight, Tensor? bias, Tensor sizes,"
      " str activation, str family=\"auto\") -> (Tensor y, Tensor z)",
      tags);

  // `steps` is T, which a packed dz does not say.
  m.def(
      "ragged_backward(Tensor dz, Tensor? x, Tensor? weight, Tensor sizes, SymInt steps,"
      " bool wants_dbias, str family=\"auto\") -> (Tensor dx, Tensor dweight, Tensor dbias)",
      tags);

  // dz = dy * activation'(.), where saved is z for gelu, gelu_tanh and silu, y for the others.
  m.def(
      "activation_backward(Tensor dy, Tensor saved, str activation,"
      " str family=\"auto\") -> Tensor",
      tags);
}

namespace per_step_dense::ops {
namespace {

using at::Tensor;

template <class Function>
auto find_op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Function>();
}

}  // namespace

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  static const auto op = find_op<ForwardOp>("per_step_dense::forward");
  return op.call(x, weight, bias, activation, kernel);
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  static const auto op =
      find_op<ForwardWithPreactivationOp>("per_step_dense::forward_with_preactivation");
  return op.call(x, weight, bias, activation, kernel);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  static const auto op = find_op<BackwardOp>("per_step_dense::backward");
  return op.call(dz, x, weight, wants_dbias, kernel);
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  static const auto op = find_op<BackwardAccumulateOp>("per_step_dense::backward_accumulate");
  return op.call(dz, x, weight, dweight, dbias, kernel);
}

Tensor ragged_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      const Tensor& sizes, std::string_view activation, std::string_view kernel) {
  static const auto op = find_op<RaggedForwardOp>("per_step_dense::ragged_forward");
  return op.call(x, weight, bias, sizes, activation, kernel);
}

std::tuple<Tensor, Tensor> ragged_forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                             const std::optional<Tensor>& bias,
                                                             const Tensor& sizes,
                                                             std::string_view activation,
                                                             std::string_view kernel) {
  static const auto op = find_op<RaggedForwardWithPreactivationOp>(
      "per_step_dense::ragged_forward_with_preactivation");
  return op.call(x, weight, bias, sizes, activation, kernel);
}

std::tuple<Tensor, Tensor, Tensor> ragged_backward(const Tensor& dz, const std::optional<Tensor>& x,
                                                   const std::optional<Tensor>& weight,
                                                   const Tensor& sizes, c10::SymInt steps,
                                                   bool wants_dbias, std::string_view kernel) {
  static const auto op = find_op<RaggedBackwardOp>("per_step_dense::ragged_backward");
  return op.call(dz, x, weight, sizes, steps, wants_dbias, kernel);
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation,
                           std::string_view kernel) {
  static const auto op = find_op<ActivationBackwardOp>("per_step_dense::activation_backward");
  return op.call(dy, saved, activation, kernel);
}

}  // namespace per_step_dense::ops
