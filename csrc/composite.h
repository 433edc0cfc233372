// The ops in differentiable ATen operations: the kernel "reference", and what forward-mode AD sees,
// which has no use for a C++ autograd node.
#pragma once

#include "activation.h"
#include "ops.h"

namespace per_step_dense::composite {

ForwardFunction forward;
ForwardWithPreactivationFunction forward_with_preactivation;
BackwardFunction backward;
BackwardAccumulateFunction backward_accumulate;  // not differentiable
ActivationBackwardFunction activation_backward;

// An activation by itself.
at::Tensor activate(const at::Tensor& z, Activation activation);

}  // namespace per_step_dense::composite
