// dz = dy * activation'(saved), one launch.
#pragma once

#include <cuda_runtime_api.h>

#include "problem.h"

namespace per_step_dense {

cudaError_t activation_backward(const ActivationBackwardProblem& problem, cudaStream_t stream);

}  // namespace per_step_dense
