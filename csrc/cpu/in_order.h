// The ops in float64, one term after the other: slow, and independent of what else is computed.
// batch_invariant.h says whose they are.
#pragma once

#include "ragged_functions.h"

namespace per_step_dense::cpu::in_order {

ForwardOfRows forward;  // of float64

// dx = dz @ weight^T
at::Tensor input_gradient(const at::Tensor& dz, const at::Tensor& weight, const RaggedRows& rows);

// dy * activation'(saved); both contiguous.
at::Tensor activation_backward(const at::Tensor& dy, const at::Tensor& saved,
                               Activation activation);

}  // namespace per_step_dense::cpu::in_order
