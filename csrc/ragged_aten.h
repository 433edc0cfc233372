// The ops of ragged batches in ATen's batched products, not differentiable, and without arithmetic
// on padding: for every device and dtype for which there is no kernel of this package.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "activation.h"
#include "ragged_rows.h"

namespace per_step_dense::aten {

// Of arguments that are checked, whose rows are packed or sorted: (y, z), or without z where it is
// not wanted.
std::tuple<at::Tensor, at::Tensor> ragged_forward(const at::Tensor& x, const at::Tensor& weight,
                                                  const std::optional<at::Tensor>& bias,
                                                  const RaggedRows& rows, Activation activation,
                                                  bool wants_z);

// Likewise: dx, dweight, dbias; undefined where not wanted.
std::tuple<at::Tensor, at::Tensor, at::Tensor> ragged_backward(
    const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, const RaggedRows& rows, bool wants_dbias);

}  // namespace per_step_dense::aten
