#include "composite.h"

#include <ATen/ops/einsum.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsub.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sigmoid_backward.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tanh_backward.h>
#include <ATen/ops/threshold_backward.h>

#include "check.h"

namespace per_step_dense::composite {

using at::Tensor;

namespace {

// at::silu_backward has no derivative.
Tensor silu_backward(const Tensor& dy, const Tensor& z) {
  const Tensor sigma = at::sigmoid(z);
  return dy.mul(sigma).mul(z.mul(at::rsub(sigma, 1)).add(1));
}

Tensor activation_gradient(const Tensor& dy, const Tensor& saved, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return dy;
    case Activation::kRelu:
      return at::threshold_backward(dy, saved, 0);
    case Activation::kGelu:
      // oneDNN, to which torch hands them as they lie, does not take all strides.
      return at::gelu_backward(dy.contiguous(), saved.contiguous());
    case Activation::kGeluTanh:
      return at::gelu_backward(dy, saved, "tanh");
    case Activation::kSilu:
      return silu_backward(dy, saved);
    case Activation::kTanh:
      return at::tanh_backward(dy, saved);
    case Activation::kSigmoid:
      return at::sigmoid_backward(dy, saved);
  }
  TORCH_INTERNAL_ASSERT(false, "activation ", int(activation));
}

Tensor preactivation(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  check_forward(x, weight, bias);
  const Tensor product = at::einsum("...ti,tio->...to", {x, weight});
  return (bias ? product.add(*bias) : product).contiguous();
}

}  // namespace

Tensor activate(const Tensor& z, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return at::relu(z);
    case Activation::kGelu:
      return at::gelu(z);
    case Activation::kGeluTanh:
      return at::gelu(z, "tanh");
    case Activation::kSilu:
      return at::silu(z);
    case Activation::kTanh:
      return at::tanh(z);
    case Activation::kSigmoid:
      return at::sigmoid(z);
  }
  TORCH_INTERNAL_ASSERT(false, "activation ", int(activation));
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  const Tensor z = preactivation(x, weight, bias);
  // An op's outputs may not be one tensor.
  const Tensor y = parsed == Activation::kNone ? z.clone() : activate(z, parsed);
  return {y, z};
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  return activate(preactivation(x, weight, bias), parsed);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias) {
  check_backward(dz, x, weight);
  Tensor dx, dweight, dbias;
  if (weight) dx = at::einsum("...to,tio->...ti", {dz, *weight}).contiguous();
  if (x) dweight = at::einsum("...ti,...to->tio", {*x, dz}).contiguous();
  if (wants_dbias) dbias = at::einsum("...to->to", {dz}).clone();
  return {dx, dweight, dbias};
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight,
                           const std::optional<Tensor>& dbias) {
  check_backward_accumulate(dz, x, weight, dweight, dbias);
  check_memory_of_accumulators(dz, x, weight, dweight, dbias);
  // First, so that nothing has been added yet where there is no memory for it.
  const Tensor dx = weight ? at::einsum("...to,tio->...ti", {dz, *weight}).contiguous() : Tensor();
  if (dweight) {
    const at::ScalarType dtype = dweight->scalar_type();
    dweight->add_(at::einsum("...ti,...to->tio", {x->to(dtype), dz.to(dtype)}));
  }
  if (dbias) dbias->add_(at::einsum("...to->to", {dz.to(dbias->scalar_type())}));
  return dx;
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  check_activation_backward(dy, saved);
  // An op's output may not be its input.
  if (parsed == Activation::kNone) return dy.clone(at::MemoryFormat::Contiguous);
  return activation_gradient(dy, saved, parsed).contiguous();
}

}  // namespace per_step_dense::composite
