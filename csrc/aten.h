// The ops in ATen's batched products, not differentiable and contiguous: the CPU implementation,
// and that of every device and dtype for which there is no kernel of this package.
#pragma once

#include "activation.h"
#include "ops.h"

namespace per_step_dense::aten {
ForwardFunction forward;
ForwardWithPreactivationFunction forward_with_preactivation;
BackwardFunction backward;
BackwardAccumulateFunction backward_accumulate;
ActivationBackwardFunction activation_backward;

// composite::activate in place, which spares the op a second buffer.
void activate_(at::Tensor& z, Activation activation);

}  // namespace per_step_dense::aten
