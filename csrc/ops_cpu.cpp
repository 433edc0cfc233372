// CPU tensors, and those of every backend that has no implementation of its own.
#include <torch/library.h>

#include "aten.h"

namespace {

void implement(torch::Library& m) {
  m.impl("forward", per_step_dense::aten::forward);
  m.impl("forward_with_preactivation", per_step_dense::aten::forward_with_preactivation);
  m.impl("backward", per_step_dense::aten::backward);
  m.impl("activation_backward", per_step_dense::aten::activation_backward);
}

}  // namespace

TORCH_LIBRARY_IMPL(per_step_dense, CPU, m) { implement(m); }

TORCH_LIBRARY_IMPL(per_step_dense, CompositeExplicitAutograd, m) { implement(m); }
