// The ops where no result may depend on how many samples there are: every output is one sum, added
// up in an order that follows from its terms alone. ATen's products promise none.
//
// float32 is computed by this package's kernels, which keep such an order (product.h), whatever
// vectors torch has; 16 bits through float32. float64, and CPUs that there are no kernels for, by a
// loop in float64. The gradients of weight and bias are sums over the samples: where that loop
// serves, they are ATen's.
#pragma once

#include <optional>
#include <tuple>

#include "activation.h"
#include "ops.h"
#include "ragged_rows.h"

namespace per_step_dense::cpu::batch_invariant {

ForwardFunction forward;
ForwardWithPreactivationFunction forward_with_preactivation;
BackwardFunction backward;
BackwardAccumulateFunction backward_accumulate;
ActivationBackwardFunction activation_backward;

// As the functions of ragged_aten.h.
std::tuple<at::Tensor, at::Tensor> ragged_forward(const at::Tensor& x, const at::Tensor& weight,
                                                  const std::optional<at::Tensor>& bias,
                                                  const RaggedRows& rows, Activation activation,
                                                  bool wants_z);

std::tuple<at::Tensor, at::Tensor, at::Tensor> ragged_backward(
    const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, const RaggedRows& rows, bool wants_dbias);

}  // namespace per_step_dense::cpu::batch_invariant
