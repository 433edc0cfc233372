// Shapes, dtypes and devices of the results, without data: for meta tensors and for tracing.
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "check.h"
#include "kernel_in_force.h"

namespace per_step_dense {
namespace {

using at::Tensor;

// The leading sizes of `tensor`, then `last`; contiguous.
Tensor empty_with_last(const Tensor& tensor, const c10::SymInt& last) {
  c10::SymDimVector sizes(tensor.sym_sizes().begin(), tensor.sym_sizes().end());
  sizes.back() = last;
  return at::empty_symint(sizes, tensor.options());
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  parse_activation(activation);
  parse_kernel(kernel);
  check_forward(x, weight, bias);
  return empty_with_last(x, weight.sym_size(2));
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  return {forward(x, weight, bias, activation, kernel),
          forward(x, weight, bias, activation, kernel)};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  parse_kernel(kernel);
  check_backward(dz, x, weight);
  const c10::SymInt t = dz.sym_size(-2), o = dz.sym_size(-1);
  Tensor dx, dweight, dbias;
  if (weight) dx = empty_with_last(dz, weight->sym_size(1));
  if (x) dweight = at::empty_symint({t, x->sym_size(-1), o}, dz.options());
  if (wants_dbias) dbias = at::empty_symint({t, o}, dz.options());
  return {dx, dweight, dbias};
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  parse_kernel(kernel);
  check_backward_accumulate(dz, x, weight, dweight, dbias);
  return weight ? empty_with_last(dz, weight->sym_size(1)) : Tensor();
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation,
                           std::string_view kernel) {
  parse_kernel(kernel);
  parse_activation(activation);
  check_activation_backward(dy, saved);
  return at::empty_symint(dy.sym_sizes(), dy.options());
}

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, Meta, m) {
  m.impl("forward", per_step_dense::forward);
  m.impl("forward_with_preactivation", per_step_dense::forward_with_preactivation);
  m.impl("backward", per_step_dense::backward);
  m.impl("backward_accumulate", per_step_dense::backward_accumulate);
  m.impl("activation_backward", per_step_dense::activation_backward);
}
