#include "cpu/batch_invariant.h"

#include "aten.h"
#include "batch.h"
#include "check.h"
#include "cpu/dense.h"
#include "cpu/in_order.h"
#include "cpu/products.h"
#include "cpu/ragged.h"
#include "ragged_aten.h"

namespace per_step_dense::cpu::batch_invariant {
namespace {

using at::Tensor;

// What sums are added up in.
at::ScalarType accumulation_type(const Tensor& tensor) {
  return kernels_or_null() && tensor.scalar_type() != at::kDouble ? at::kFloat : at::kDouble;
}

std::optional<Tensor> converted(const std::optional<Tensor>& tensor, at::ScalarType type) {
  return tensor ? std::optional(tensor->to(type)) : std::nullopt;
}

// Undefined stays undefined.
Tensor rounded(const Tensor& tensor, at::ScalarType type) {
  return tensor.defined() ? tensor.to(type) : tensor;
}

// Every step has all of them: `batch` is (B, T, F).
RaggedRows all_rows(const Tensor& batch) {
  const int64_t b = batch.size(0), t = batch.size(1);
  RaggedRows rows{RaggedRows::Layout::kSorted, {}, {}, b * t, b, {}};
  rows.begin.assign(t, 0);
  rows.count.assign(t, b);
  rows.lengths.assign(b, t);
  return rows;
}

// (B, T, F) -> (*, T, F)
Tensor with_leading_sizes(const Tensor& batch, const Tensor& like) {
  return batch.defined() ? batch.view(sizes_with_last(like, batch.size(2))) : batch;
}

std::tuple<Tensor, Tensor> compute(const Tensor& x, const Tensor& weight,
                                   const std::optional<Tensor>& bias, std::string_view activation,
                                   bool wants_z) {
  const Activation parsed = parse_activation(activation);
  check_forward(x, weight, bias);
  const Tensor batch = as_batch(x);
  const auto [y, z] = ragged_forward(batch, weight, bias, all_rows(batch), parsed, wants_z);
  return {with_leading_sizes(y, x), with_leading_sizes(z, x)};
}

}  // namespace

std::tuple<Tensor, Tensor> ragged_forward(const Tensor& x, const Tensor& weight,
                                          const std::optional<Tensor>& bias, const RaggedRows& rows,
                                          Activation activation, bool wants_z) {
  const at::ScalarType type = accumulation_type(x);
  const auto run = type == at::kFloat ? ragged::forward : in_order::forward;
  const auto [y, z] =
      run(x.to(type), weight.to(type), converted(bias, type), rows, activation, wants_z);
  return {rounded(y, x.scalar_type()), rounded(z, x.scalar_type())};
}

std::tuple<Tensor, Tensor, Tensor> ragged_backward(const Tensor& dz, const std::optional<Tensor>& x,
                                                   const std::optional<Tensor>& weight,
                                                   const RaggedRows& rows, bool wants_dbias) {
  const at::ScalarType own = dz.scalar_type(), type = accumulation_type(dz);
  if (type == at::kFloat) {
    const auto [dx, dweight, dbias] = ragged::backward(dz.to(type), converted(x, type),
                                                       converted(weight, type), rows, wants_dbias);
    return {rounded(dx, own), rounded(dweight, own), rounded(dbias, own)};
  }
  auto [dx, dweight, dbias] = aten::ragged_backward(dz, x, std::nullopt, rows, wants_dbias);
  if (weight) dx = in_order::input_gradient(dz.to(type), weight->to(type), rows).to(own);
  return {dx, dweight, dbias};
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation) {
  return std::get<0>(compute(x, weight, bias, activation, /*wants_z=*/false));
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation) {
  return compute(x, weight, bias, activation, /*wants_z=*/true);
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias) {
  check_backward(dz, x, weight);
  const Tensor batch = as_batch(dz);
  const auto x_batch = x ? std::optional(as_batch(*x)) : std::nullopt;
  const auto [dx, dweight, dbias] =
      ragged_backward(batch, x_batch, weight, all_rows(batch), wants_dbias);
  return {with_leading_sizes(dx, dz), dweight, dbias};
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight,
                           const std::optional<Tensor>& dbias) {
  check_backward_accumulate(dz, x, weight, dweight, dbias);
  check_memory_of_accumulators(dz, x, weight, dweight, dbias);
  // First, so that nothing has been added yet where there is no memory for it.
  const Tensor dx = weight ? std::get<0>(backward(dz, std::nullopt, weight, false)) : Tensor();
  aten::backward_accumulate(dz, x, std::nullopt, dweight, dbias);
  return dx;
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  check_activation_backward(dy, saved);
  const at::ScalarType type = accumulation_type(dy);
  const Tensor gradient = dy.to(type).contiguous(), kept = saved.to(type).contiguous();
  const Tensor dz = type == at::kFloat ? dense::activation_backward(gradient, kept, activation)
                                       : in_order::activation_backward(gradient, kept, parsed);
  return dz.to(dy.scalar_type());
}

}  // namespace per_step_dense::cpu::batch_invariant
