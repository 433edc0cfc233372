// Ragged batches on the CPU, and on every backend that has no implementation of its own: the
// kernels in csrc/cpu/ for what they serve, else ATen's products; either without arithmetic on
// padding.
#include "ops_ragged.h"

#include <torch/library.h>

#include "cpu/batch_invariant.h"
#include "cpu/ragged.h"
#include "profiler_range.h"
#include "ragged_aten.h"

namespace per_step_dense {
namespace {

using at::Tensor;

struct Cpu {
  static std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& weight,
                                            const std::optional<Tensor>& bias,
                                            const RaggedRows& rows, Activation activation,
                                            KernelFamily family, bool wants_z) {
    if (family == KernelFamily::kBatchInvariant) {
      const ProfilerRange range([] { return name_of(KernelFamily::kBatchInvariant); });
      return cpu::batch_invariant::ragged_forward(x, weight, bias, rows, activation, wants_z);
    }
    if (cpu::ragged::serves(x, rows, weight.size(1), weight.size(2))) {
      const ProfilerRange range([] { return "avx2"; });
      return cpu::ragged::forward(x, weight, bias, rows, activation, wants_z);
    }
    const ProfilerRange range([] { return name_of(KernelFamily::kAten); });
    return aten::ragged_forward(x, weight, bias, rows, activation, wants_z);
  }

  static std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz,
                                                     const std::optional<Tensor>& x,
                                                     const std::optional<Tensor>& weight,
                                                     const RaggedRows& rows, bool wants_dbias,
                                                     KernelFamily family) {
    if (family == KernelFamily::kBatchInvariant) {
      const ProfilerRange range([] { return name_of(KernelFamily::kBatchInvariant); });
      return cpu::batch_invariant::ragged_backward(dz, x, weight, rows, wants_dbias);
    }
    const int64_t in_features = x ? x->size(-1) : weight ? weight->size(1) : 1;
    if (cpu::ragged::serves(dz, rows, in_features, dz.size(-1))) {
      const ProfilerRange range([] { return "avx2"; });
      return cpu::ragged::backward(dz, x, weight, rows, wants_dbias);
    }
    const ProfilerRange range([] { return name_of(KernelFamily::kAten); });
    return aten::ragged_backward(dz, x, weight, rows, wants_dbias);
  }
};

void implement(torch::Library& m) {
  m.impl("ragged_forward", RaggedOps<Cpu>::forward);
  m.impl("ragged_forward_with_preactivation", RaggedOps<Cpu>::forward_with_preactivation);
  m.impl("ragged_backward", RaggedOps<Cpu>::backward);
}

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, CPU, m) { per_step_dense::implement(m); }

TORCH_LIBRARY_IMPL(per_step_dense, CompositeExplicitAutograd, m) { per_step_dense::implement(m); }
