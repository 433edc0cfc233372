// The family of tensor cores for every GPU from sm_80 on: mma.sync tiles fed by cp.async. It takes
// float16, bfloat16 and tfloat32 in any sizes and any strides, and rows that differ by step.
#pragma once

#include <cuda_runtime_api.h>

#include "choice.h"
#include "problem.h"

namespace per_step_dense::sm80 {

// Launches what plan() announces; `workspace` has the bytes it names, and may be null where it
// names none. A choice that no compiled tile matches is cudaErrorInvalidValue.
cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream);

// Any subset of the gradients.
cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream);

}  // namespace per_step_dense::sm80
