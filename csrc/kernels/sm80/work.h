// What a choice of this family comes to for its kernels. Pure host code.
#pragma once

#include "choice.h"
#include "kernels/tiled/tiled_gemm.h"
#include "problem.h"

namespace per_step_dense::sm80 {

// With a null workspace the works serve as plans, and are not to be launched.
tiled::ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice,
                                void* workspace);
tiled::BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice,
                                  void* workspace);

}  // namespace per_step_dense::sm80
