// The family that takes any sizes and any strides, in every dtype: FFMA tiles fed by cp.async.
#pragma once

#include <cuda_runtime_api.h>

#include "choice.h"
#include "problem.h"

namespace per_step_dense::simt {

// Launches what plan() announces; `workspace` has the bytes it names, and may be null where it
// names none. A choice that no compiled tile matches is cudaErrorInvalidValue.
cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream);

// Any subset of the gradients.
cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream);

}  // namespace per_step_dense::simt
