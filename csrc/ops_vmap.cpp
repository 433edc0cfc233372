// torch.func.vmap: what is mapped over becomes one more dimension of the batch, or more steps, and
// the op is called once.
//
//   over x or dz alone                 (N, *, T, I)    a leading dimension like others
//   over weight, or for its gradient   (*, N T, I)     N ensembles of T steps are N T steps
#include <ATen/ExpandUtils.h>
#include <ATen/functorch/BatchedTensorImpl.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "check.h"
#include "composite.h"
#include "kernel_in_force.h"
#include "ops.h"
#include "ragged_composite.h"

namespace per_step_dense::vmap {
namespace {

using at::Tensor;

// A tensor without the level of vmap that is at work, and which of its dimensions that maps over.
struct Mapped {
  Tensor value;  // undefined: absent
  std::optional<int64_t> dim;

  bool is_mapped() const { return dim.has_value(); }
  c10::SymInt size() const { return value.sym_size(*dim); }
  Tensor with_dim_at(int64_t place) const { return value.movedim(*dim, place); }
};

// The innermost level of vmap that arguments are mapped at, and what is called below it. (That is
// the level at work, or else one further out, which may as well come first.)
class Level {
 public:
  explicit Level(std::initializer_list<const Tensor*> arguments) {
    for (const Tensor* argument : arguments) {
      const auto* const mapped = at::functorch::maybeGetBatchedImpl(*argument);
      if (mapped) id_ = std::max(id_, mapped->level());
    }
  }

  Mapped unwrap(const Tensor& tensor) const {
    const auto* const mapped = at::functorch::maybeGetBatchedImpl(tensor);
    if (!mapped || mapped->level() != id_) return {tensor, std::nullopt};
    return {mapped->value(), mapped->bdim()};
  }

  Tensor wrap(const Tensor& tensor, int64_t dim) const {
    return tensor.defined() ? at::functorch::makeBatched(tensor, dim, id_) : tensor;
  }

 private:
  c10::impl::ExcludeDispatchKeyGuard below_{c10::DispatchKey::FuncTorchBatched};
  int64_t id_ = -1;
};

// Of arguments of which one is mapped.
c10::SymInt size_of_map(std::initializer_list<const Mapped*> arguments) {
  for (const Mapped* argument : arguments) {
    if (argument->is_mapped()) return argument->size();
  }
  TORCH_INTERNAL_ASSERT(false, "vmap has nothing to map over");
}

const Tensor& tensor_or_undefined(const std::optional<Tensor>& tensor) {
  static const Tensor undefined;
  return tensor ? *tensor : undefined;
}

std::optional<Tensor> optional_of(const Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// A tensor with one more dimension, of so many equal parts.
Tensor repeated(const Tensor& tensor, const c10::SymInt& size, int64_t place) {
  const Tensor one = tensor.unsqueeze(place);
  c10::SymDimVector sizes(one.sym_sizes().begin(), one.sym_sizes().end());
  sizes[at::maybe_wrap_dim(place, one.dim())] = size;
  return one.expand_symint(sizes);
}

Tensor with_dim_at(const Mapped& argument, const c10::SymInt& size, int64_t place) {
  return argument.is_mapped() ? argument.with_dim_at(place) : repeated(argument.value, size, place);
}

Tensor in_front(const Mapped& argument) {
  return argument.is_mapped() ? argument.with_dim_at(0) : argument.value;
}

// N times T steps in place of T; either may be 0.
struct Steps {
  c10::SymInt n, t;

  // (*, T, F) as (*, N T, F), and back.
  Tensor join_rows(const Mapped& rows) const {
    return rows.value.defined() ? with_dim_at(rows, n, -3).flatten(-3, -2) : Tensor();
  }
  Tensor wrap_rows(const Level& level, const Tensor& rows) const {
    if (!rows.defined()) return rows;
    const Tensor parted = rows.unflatten_symint(-2, {n, t});
    return level.wrap(parted, parted.dim() - 3);
  }

  // (T, ...) as (N T, ...), and back.
  Tensor join_parameters(const Mapped& parameters) const {
    return parameters.value.defined() ? with_dim_at(parameters, n, 0).flatten(0, 1) : Tensor();
  }
  Tensor wrap_parameters(const Level& level, const Tensor& parameters) const {
    if (!parameters.defined()) return parameters;
    return level.wrap(parameters.unflatten_symint(0, {n, t}), 0);
  }
};

// The arguments of a forward, and what to make of them.
struct ForwardArguments {
  Mapped x, weight, bias;

  c10::SymInt size() const { return size_of_map({&x, &weight, &bias}); }
  bool maps_x_alone() const { return !weight.is_mapped() && !bias.is_mapped(); }
  bool maps_no_weight() const { return !weight.is_mapped(); }
};

// The value before the activation where biases differ and weights do not: repeating the weights
// would cost more than a pass over the result.
Tensor preactivation(const ForwardArguments& args, std::string_view kernel) {
  const Tensor product = ops::forward(in_front(args.x), args.weight.value, std::nullopt,
                                      name_of(Activation::kNone), kernel);
  Tensor bias = args.bias.with_dim_at(0);  // (N, T, O)
  const int64_t dims = args.x.value.dim() - (args.x.is_mapped() ? 1 : 0);
  for (int64_t dim = 2; dim < dims; ++dim) bias = bias.unsqueeze(1);  // (N, *, T, O)
  return product.add(bias);
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  check_forward(x, weight, bias);
  const Tensor& vectors = tensor_or_undefined(bias);
  const Level level({&x, &weight, &vectors});
  const ForwardArguments args{level.unwrap(x), level.unwrap(weight), level.unwrap(vectors)};
  if (args.maps_x_alone()) {
    return level.wrap(ops::forward(in_front(args.x), args.weight.value,
                                   optional_of(args.bias.value), activation, kernel),
                      0);
  }
  if (args.maps_no_weight()) {
    return level.wrap(
        composite::activate(preactivation(args, kernel), parse_activation(activation)), 0);
  }
  const Steps steps{args.size(), weight.sym_size(0)};
  const Tensor y = ops::forward(steps.join_rows(args.x), steps.join_parameters(args.weight),
                                optional_of(steps.join_parameters(args.bias)), activation, kernel);
  return steps.wrap_rows(level, y);
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation,
                                                      std::string_view kernel) {
  check_forward(x, weight, bias);
  const Tensor& vectors = tensor_or_undefined(bias);
  const Level level({&x, &weight, &vectors});
  const ForwardArguments args{level.unwrap(x), level.unwrap(weight), level.unwrap(vectors)};
  if (args.maps_x_alone()) {
    const auto [y, z] = ops::forward_with_preactivation(
        in_front(args.x), args.weight.value, optional_of(args.bias.value), activation, kernel);
    return {level.wrap(y, 0), level.wrap(z, 0)};
  }
  if (args.maps_no_weight()) {
    const Activation parsed = parse_activation(activation);
    const Tensor z = preactivation(args, kernel);
    // An op's outputs may not be one tensor.
    const Tensor y = parsed == Activation::kNone ? z.clone() : composite::activate(z, parsed);
    return {level.wrap(y, 0), level.wrap(z, 0)};
  }
  const Steps steps{args.size(), weight.sym_size(0)};
  const auto [y, z] = ops::forward_with_preactivation(
      steps.join_rows(args.x), steps.join_parameters(args.weight),
      optional_of(steps.join_parameters(args.bias)), activation, kernel);
  return {steps.wrap_rows(level, y), steps.wrap_rows(level, z)};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias,
                                            std::string_view kernel) {
  check_backward(dz, x, weight);
  const Tensor &x_or_none = tensor_or_undefined(x), &weight_or_none = tensor_or_undefined(weight);
  const Level level({&dz, &x_or_none, &weight_or_none});
  const Mapped rows = level.unwrap(dz), inputs = level.unwrap(x_or_none),
               matrices = level.unwrap(weight_or_none);
  const Steps steps{size_of_map({&rows, &inputs, &matrices}), dz.sym_size(-2)};
  Tensor dx, dweight, dbias;
  // Matrices that all share need no more of them for dx.
  const bool shares_matrices = matrices.value.defined() && !matrices.is_mapped();
  if (shares_matrices) {
    dx = std::get<0>(ops::backward(in_front(rows), std::nullopt, matrices.value, false, kernel));
    if (rows.is_mapped()) dx = level.wrap(dx, 0);
    if (!x && !wants_dbias) return {dx, dweight, dbias};
  }
  Tensor dx_of_steps;
  std::tie(dx_of_steps, dweight, dbias) =
      ops::backward(steps.join_rows(rows), optional_of(steps.join_rows(inputs)),
                    shares_matrices ? std::nullopt : optional_of(steps.join_parameters(matrices)),
                    wants_dbias, kernel);
  if (!shares_matrices) dx = steps.wrap_rows(level, dx_of_steps);
  return {dx, steps.wrap_parameters(level, dweight), steps.wrap_parameters(level, dbias)};
}

Tensor backward_accumulate(const Tensor&, const std::optional<Tensor>&,
                           const std::optional<Tensor>&, const std::optional<Tensor>&,
                           const std::optional<Tensor>&, std::string_view) {
  refuse_to_transform_accumulation();
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation,
                           std::string_view kernel) {
  check_activation_backward(dy, saved);
  const Level level({&dy, &saved});
  const Mapped gradient = level.unwrap(dy), value = level.unwrap(saved);
  const c10::SymInt n = size_of_map({&gradient, &value});
  return level.wrap(ops::activation_backward(with_dim_at(gradient, n, 0), with_dim_at(value, n, 0),
                                             activation, kernel),
                    0);
}

// Ragged batches are left to ATen's own rules.
void check_is_for_composite(std::string_view kernel) {
  check_composite_may_serve(resolve_kernel(kernel), "vmap over batches whose samples differ");
}

Tensor ragged_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      const Tensor& sizes, std::string_view activation, std::string_view kernel) {
  check_is_for_composite(kernel);
  return composite::ragged_forward(x, weight, bias, sizes, activation);
}

std::tuple<Tensor, Tensor> ragged_forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                             const std::optional<Tensor>& bias,
                                                             const Tensor& sizes,
                                                             std::string_view activation,
                                                             std::string_view kernel) {
  check_is_for_composite(kernel);
  return composite::ragged_forward_with_preactivation(x, weight, bias, sizes, activation);
}

std::tuple<Tensor, Tensor, Tensor> ragged_backward(const Tensor& dz, const std::optional<Tensor>& x,
                                                   const std::optional<Tensor>& weight,
                                                   const Tensor& sizes, int64_t steps,
                                                   bool wants_dbias, std::string_view kernel) {
  check_is_for_composite(kernel);
  return composite::ragged_backward(dz, x, weight, sizes, steps, wants_dbias);
}

}  // namespace
}  // namespace per_step_dense::vmap

TORCH_LIBRARY_IMPL(per_step_dense, FuncTorchBatched, m) {
  m.impl("forward", per_step_dense::vmap::forward);
  m.impl("forward_with_preactivation", per_step_dense::vmap::forward_with_preactivation);
  m.impl("backward", per_step_dense::vmap::backward);
  m.impl("backward_accumulate", per_step_dense::vmap::backward_accumulate);
  m.impl("ragged_forward", per_step_dense::vmap::ragged_forward);
  m.impl("ragged_forward_with_preactivation",
         per_step_dense::vmap::ragged_forward_with_preactivation);
  m.impl("ragged_backward", per_step_dense::vmap::ragged_backward);
  m.impl("activation_backward", per_step_dense::vmap::activation_backward);
}
