// The family for problems too small for tiles, and for streams of weights or rows: no tile in
// shared memory, no barrier that a tiny call would pay for.
#pragma once

#include <cuda_runtime_api.h>

#include "choice.h"
#include "problem.h"

namespace per_step_dense::tiny {

// Launches what plan() announces; `workspace` has the bytes it names, and may be null where it
// names none. A choice that no compiled tile matches is cudaErrorInvalidValue.
cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream);

// Any subset of the gradients.
cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream);

}  // namespace per_step_dense::tiny
