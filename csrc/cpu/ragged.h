// Ragged batches in float32, on a CPU that there are kernels for; ops_ragged.cpp asks serves()
// first.
#pragma once

#include "ragged_functions.h"

namespace per_step_dense::cpu::ragged {

// Whether the kernels take rows like these, with weights (I, O) a step.
bool serves(const at::Tensor& tensor, const RaggedRows& rows, int64_t in_features,
            int64_t out_features);

ForwardOfRows forward;
BackwardOfRows backward;

}  // namespace per_step_dense::cpu::ragged
