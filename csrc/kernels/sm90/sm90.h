// The family of tensor cores for Hopper alone: wgmma tiles fed by TMA, one persistent launch. It
// takes float16, bfloat16 and, but for gradients of weight and bias, tfloat32 that lie as TMA
// describes tensors.
#pragma once

#include <cuda_runtime_api.h>

#include "choice.h"
#include "problem.h"

namespace per_step_dense::sm90 {

// Whether the driver makes tensor maps of a problem that the family takes.
bool can_describe(const ForwardProblem& problem, const Choice& choice);
bool can_describe(const BackwardProblem& problem, const Choice& choice);

// Each launches what plan() announces; `workspace` has the bytes it names, and may be null where it
// names none. A choice that no compiled tile matches, or a problem that the family does not take,
// is cudaErrorInvalidValue; what the driver refuses is the driver's error.
cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream);
cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream);

}  // namespace per_step_dense::sm90
