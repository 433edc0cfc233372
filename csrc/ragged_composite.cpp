#include "ragged_composite.h"

#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include "check.h"
#include "composite.h"
#include "ragged_rows.h"

namespace per_step_dense::composite {
namespace {

using at::Tensor;

// Where each step's rows are is one answer for all that vmap maps over.
RaggedRows rows_of(const Tensor& sizes, const Tensor& tensor, int64_t steps) {
  TORCH_CHECK_VALUE(!at::functorch::isBatchedTensor(sizes),
                    "per_step_dense: batch_sizes and lengths must not be mapped over by vmap");
  return ragged_rows(sizes, tensor, steps);
}

// (B, T, 1): whether a sample has a step.
Tensor mask_of(const Tensor& lengths, const Tensor& padded) {
  const Tensor steps = at::arange(padded.size(1), lengths.options());
  return steps.lt(lengths.unsqueeze(1)).unsqueeze(2).to(padded.device());
}

Tensor masked(const Tensor& padded, const Tensor& mask) { return at::where(mask, padded, 0); }

std::optional<Tensor> masked(const std::optional<Tensor>& padded, const Tensor& mask) {
  return padded ? std::optional(masked(*padded, mask)) : std::nullopt;
}

// A step's rows of a packed tensor.
class PackedSteps {
 public:
  PackedSteps(const Tensor& sizes, const Tensor& packed, int64_t steps)
      : rows_(rows_of(sizes, packed, steps)) {}

  Tensor of(const Tensor& packed, int64_t t) const {
    return packed.narrow(0, rows_.begin[t], rows_.count[t]);
  }

 private:
  const RaggedRows rows_;
};

Tensor packed_preactivation(const Tensor& x, const Tensor& weight,
                            const std::optional<Tensor>& bias, const Tensor& sizes) {
  const int64_t t = weight.size(0);
  const PackedSteps steps(sizes, x, t);
  std::vector<Tensor> z;
  for (int64_t step = 0; step < t; ++step) {
    const Tensor product = steps.of(x, step).matmul(weight.select(0, step));
    z.push_back(bias ? product.add(bias->select(0, step)) : product);
  }
  return t > 0 ? at::cat(z) : x.new_zeros({0, weight.size(2)});
}

std::tuple<Tensor, Tensor, Tensor> packed_backward(const Tensor& dz, const std::optional<Tensor>& x,
                                                   const std::optional<Tensor>& weight,
                                                   const Tensor& sizes, int64_t t,
                                                   bool wants_dbias) {
  const PackedSteps steps(sizes, dz, t);
  std::vector<Tensor> dx, dweight, dbias;
  for (int64_t step = 0; step < t; ++step) {
    const Tensor own = steps.of(dz, step);
    if (weight) dx.push_back(own.matmul(weight->select(0, step).mT()));
    if (x) dweight.push_back(steps.of(*x, step).mT().matmul(own));
    if (wants_dbias) dbias.push_back(own.sum(0));
  }
  const int64_t o = dz.size(1);
  if (t == 0) {
    return {weight ? dz.new_zeros({0, weight->size(1)}) : Tensor(),
            x ? dz.new_zeros({0, x->size(1), o}) : Tensor(),
            wants_dbias ? dz.new_zeros({0, o}) : Tensor()};
  }
  return {weight ? at::cat(dx) : Tensor(), x ? at::stack(dweight) : Tensor(),
          wants_dbias ? at::stack(dbias) : Tensor()};
}

}  // namespace

std::tuple<Tensor, Tensor> ragged_forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                             const std::optional<Tensor>& bias,
                                                             const Tensor& sizes,
                                                             std::string_view activation) {
  check_ragged_forward(x, weight, bias, sizes);
  const Activation parsed = parse_activation(activation);
  if (x.dim() == 2) {
    const Tensor z = packed_preactivation(x, weight, bias, sizes);
    // An op's outputs may not be one tensor.
    return {parsed == Activation::kNone ? z.clone() : activate(z, parsed), z};
  }
  rows_of(sizes, x, weight.size(0));  // which refuses wrong values
  const Tensor mask = mask_of(sizes, x);
  // Before the activation as well: its derivative of what weights that are not finite make of
  // padding would be NaN, and no factor of zero would mend that.
  const Tensor z = masked(forward(masked(x, mask), weight, bias, name_of(Activation::kNone)), mask);
  return {masked(activate(z, parsed), mask), z};
}

Tensor ragged_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      const Tensor& sizes, std::string_view activation) {
  return std::get<0>(ragged_forward_with_preactivation(x, weight, bias, sizes, activation));
}

std::tuple<Tensor, Tensor, Tensor> ragged_backward(const Tensor& dz, const std::optional<Tensor>& x,
                                                   const std::optional<Tensor>& weight,
                                                   const Tensor& sizes, int64_t steps,
                                                   bool wants_dbias) {
  check_ragged_backward(dz, x, weight, sizes, steps);
  if (dz.dim() == 2) return packed_backward(dz, x, weight, sizes, steps, wants_dbias);
  rows_of(sizes, dz, steps);  // which refuses wrong values
  const Tensor mask = mask_of(sizes, dz);
  auto [dx, dweight, dbias] = backward(masked(dz, mask), masked(x, mask), weight, wants_dbias);
  if (dx.defined()) dx = masked(dx, mask);  // a weight may be infinite
  return {dx, dweight, dbias};
}

}  // namespace per_step_dense::composite
