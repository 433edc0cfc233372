#include "aten.h"

#include <ATen/ops/add.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/tanh.h>

#include "batch.h"
#include "check.h"
#include "composite.h"

namespace per_step_dense::aten {
namespace {

using at::Tensor;

// (B, T, F) seen as (T, B, F).
Tensor steps_first(const Tensor& tensor) { return permuted(tensor, 1, 0, 2); }

// (T, B, F) seen as (B, T, F).
Tensor batch_first(const Tensor& tensor) { return permuted(tensor, 1, 0, 2); }

// A contiguous (B, T, last) seen as (*, T, last), with the leading sizes of `leading`.
Tensor with_leading_sizes(const Tensor& batch, const Tensor& leading) {
  if (leading.dim() == 3) return batch;
  return batch.view(sizes_with_last(leading, batch.size(2)));
}

// x @ weight + bias, contiguous. The addition of the bias is also the pass that brings the
// product's (T, B, O) order into (B, T, O).
Tensor preactivation(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  check_forward(x, weight, bias);
  const Tensor product = batch_first(at::bmm(steps_first(as_batch(x)), weight));
  if (!bias) return with_leading_sizes(product.contiguous(), x);
  Tensor z = at::empty(product.sizes(), product.options());
  at::add_out(z, product, *bias);
  return with_leading_sizes(z, x);
}

// dz @ weight^T, contiguous.
Tensor input_gradient(const Tensor& dz, const Tensor& dz_steps, const Tensor& weight) {
  const Tensor product = at::bmm(dz_steps, permuted(weight, 0, 2, 1));
  return with_leading_sizes(batch_first(product).contiguous(), dz);
}

// sum += a b. What is added to float32 is not rounded to 16 bits before.
void add_product(const Tensor& sum, const Tensor& a, const Tensor& b) {
  if (sum.scalar_type() == a.scalar_type()) {
    sum.baddbmm_(a, b);
  } else if (a.is_cuda()) {
    sum.add_(at::bmm(a, b, sum.scalar_type()));
  } else {
    sum.baddbmm_(a.to(sum.scalar_type()), b.to(sum.scalar_type()));
  }
}

}  // namespace

void activate_(Tensor& z, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      at::relu_(z);
      return;
    case Activation::kGelu:
      at::gelu_(z);
      return;
    case Activation::kGeluTanh:
      at::gelu_(z, "tanh");
      return;
    case Activation::kSilu:
      at::silu_(z);
      return;
    case Activation::kTanh:
      at::tanh_(z);
      return;
    case Activation::kSigmoid:
      at::sigmoid_(z);
      return;
  }
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  Tensor y = preactivation(x, weight, bias);
  activate_(y, parsed);
  return y;
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  const Tensor z = preactivation(x, weight, bias);
  // An op's outputs may not be one tensor.
  const Tensor y = parsed == Activation::kNone ? z.clone() : composite::activate(z, parsed);
  return {y, z};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias) {
  check_backward(dz, x, weight);
  const Tensor dz_batch = as_batch(dz), dz_steps = steps_first(dz_batch);
  Tensor dx, dweight, dbias;
  if (weight) dx = input_gradient(dz, dz_steps, *weight);
  if (x) dweight = at::bmm(permuted(as_batch(*x), 1, 2, 0), dz_steps);
  if (wants_dbias) dbias = dz_batch.sum(0);
  return {dx, dweight, dbias};
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight,
                           const std::optional<Tensor>& dbias) {
  check_backward_accumulate(dz, x, weight, dweight, dbias);
  check_memory_of_accumulators(dz, x, weight, dweight, dbias);
  const Tensor dz_batch = as_batch(dz), dz_steps = steps_first(dz_batch);
  // First, so that nothing has been added yet where there is no memory for it.
  const Tensor dx = weight ? input_gradient(dz, dz_steps, *weight) : Tensor();
  if (dweight) add_product(*dweight, permuted(as_batch(*x), 1, 2, 0), dz_steps);
  if (dbias) {
    const at::ScalarType accum = dz.element_size() == 2 ? at::kFloat : dz.scalar_type();
    dbias->add_(dz_batch.sum(0, /*keepdim=*/false, accum));
  }
  return dx;
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  if (parsed != Activation::kSilu) return composite::activation_backward(dy, saved, activation);
  check_activation_backward(dy, saved);
  return at::silu_backward(dy, saved).contiguous();
}

}  // namespace per_step_dense::aten
