// The family that takes any sizes and any strides: FFMA tiles, float32.
#pragma once

#include <cuda_runtime_api.h>

#include "problem.h"

namespace per_step_dense::simt {

// One launch.
cudaError_t forward(const ForwardProblem& problem, cudaStream_t stream);

// One launch for any subset of the gradients.
cudaError_t backward(const BackwardProblem& problem, cudaStream_t stream);

}  // namespace per_step_dense::simt
