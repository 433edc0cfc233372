// What computes ragged batches looks like this, CUDA apart: of arguments that are checked, whose
// rows are packed or sorted. Undefined is what is not wanted.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "activation.h"
#include "ragged_rows.h"

namespace per_step_dense {

using ForwardOfRows = std::tuple<at::Tensor, at::Tensor>(  // y, z
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    const RaggedRows& rows, Activation activation, bool wants_z);

using BackwardOfRows = std::tuple<at::Tensor, at::Tensor, at::Tensor>(  // dx, dweight, dbias
    const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, const RaggedRows& rows, bool wants_dbias);

}  // namespace per_step_dense
