// Views that are negated when they are read, as the imaginary part of a conjugate is: torch's own
// fallback serves them, but for an op that writes into its arguments and returns something else.
#include <torch/library.h>

#include "check.h"
#include "ops.h"

namespace per_step_dense {
namespace {

using at::Tensor;

std::optional<Tensor> resolved(const std::optional<Tensor>& tensor) {
  return tensor ? std::optional(tensor->resolve_neg()) : std::nullopt;
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight, const std::optional<Tensor>& dbias,
                           std::string_view kernel) {
  check_may_be_added_to("dweight", dweight);
  check_may_be_added_to("dbias", dbias);
  return ops::backward_accumulate(dz.resolve_neg(), resolved(x), resolved(weight), dweight, dbias,
                                  kernel);
}

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, Negative, m) {
  m.impl("backward_accumulate", per_step_dense::backward_accumulate);
}
