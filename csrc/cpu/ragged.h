// Ragged batches in float32, on a CPU that there are kernels for; ops_ragged.cpp asks serves()
// first.
#pragma once

#include <optional>
#include <tuple>

#include "activation.h"
#include "ragged_rows.h"

namespace per_step_dense::cpu::ragged {

// Whether the kernels take rows like these, with weights (I, O) a step.
bool serves(const at::Tensor& tensor, const RaggedRows& rows, int64_t in_features,
            int64_t out_features);

// As the functions of ragged_aten.h.
std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& weight,
                                           const std::optional<at::Tensor>& bias,
                                           const RaggedRows& rows, Activation activation,
                                           bool wants_z);

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& dz,
                                                        const std::optional<at::Tensor>& x,
                                                        const std::optional<at::Tensor>& weight,
                                                        const RaggedRows& rows, bool wants_dbias);

}  // namespace per_step_dense::cpu::ragged
