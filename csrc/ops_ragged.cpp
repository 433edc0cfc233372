// Ragged batches on the CPU, and on every backend that has no implementation of its own: ATen's
// products, without arithmetic on padding.
#include "ops_ragged.h"

#include <torch/library.h>

#include "profiler_range.h"
#include "ragged_aten.h"

namespace per_step_dense {
namespace {

using at::Tensor;

struct Aten {
  static std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& weight,
                                            const std::optional<Tensor>& bias,
                                            const RaggedRows& rows, Activation activation,
                                            KernelFamily, bool wants_z) {
    const ProfilerRange range([] { return name_of(KernelFamily::kAten); });
    return aten::ragged_forward(x, weight, bias, rows, activation, wants_z);
  }

  static std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz,
                                                     const std::optional<Tensor>& x,
                                                     const std::optional<Tensor>& weight,
                                                     const RaggedRows& rows, bool wants_dbias,
                                                     KernelFamily) {
    const ProfilerRange range([] { return name_of(KernelFamily::kAten); });
    return aten::ragged_backward(dz, x, weight, rows, wants_dbias);
  }
};

void implement(torch::Library& m) {
  m.impl("ragged_forward", RaggedOps<Aten>::forward);
  m.impl("ragged_forward_with_preactivation", RaggedOps<Aten>::forward_with_preactivation);
  m.impl("ragged_backward", RaggedOps<Aten>::backward);
}

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, CPU, m) { per_step_dense::implement(m); }

TORCH_LIBRARY_IMPL(per_step_dense, CompositeExplicitAutograd, m) { per_step_dense::implement(m); }
