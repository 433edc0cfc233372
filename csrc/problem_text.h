// A problem and what was chosen for it, in words for errors that nobody expects. Pure host code.
#pragma once

#include <string>

#include "choice.h"
#include "problem.h"

namespace per_step_dense {

// "the forward of B, T, I, O = 8, 2, 64, 64 in bfloat16 by sm90 64x64 (x: address 0x..., strides
// (128, 64, 1); ...)"
std::string text_of(const ForwardProblem& problem, const Choice& choice);
std::string text_of(const BackwardProblem& problem, const Choice& choice);

}  // namespace per_step_dense
