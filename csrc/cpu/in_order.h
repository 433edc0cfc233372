// The ops in float64, one term after the other: slow, and independent of what else is computed.
// batch_invariant.h says whose they are.
#pragma once

#include <optional>
#include <tuple>

#include "activation.h"
#include "ragged_rows.h"

namespace per_step_dense::cpu::in_order {

// As the functions of ragged_aten.h; of float64.
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& weight,
                                           const std::optional<at::Tensor>& bias,
                                           const RaggedRows& rows, Activation activation,
                                           bool wants_z);

// dx = dz @ weight^T
at::Tensor input_gradient(const at::Tensor& dz, const at::Tensor& weight, const RaggedRows& rows);

// dy * activation'(saved); both contiguous.
at::Tensor activation_backward(const at::Tensor& dy, const at::Tensor& saved,
                               Activation activation);

}  // namespace per_step_dense::cpu::in_order
