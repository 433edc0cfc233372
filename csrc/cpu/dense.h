// The ops in float32, on a CPU that there are kernels for; ops_cpu.cpp asks serves() first.
// Products that are added to what is there are ATen's.
#pragma once

#include "ops.h"

namespace per_step_dense::cpu::dense {

// Whether the kernels take tensors like this one.
bool serves(const at::Tensor& tensor);

ForwardFunction forward;
ForwardWithPreactivationFunction forward_with_preactivation;
BackwardFunction backward;
BackwardAccumulateFunction backward_accumulate;
ActivationBackwardFunction activation_backward;

}  // namespace per_step_dense::cpu::dense
