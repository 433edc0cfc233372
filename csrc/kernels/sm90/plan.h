// What a choice of this family comes to. Pure host code: no CUDA header.
#pragma once

#include <string>

#include "choice.h"
#include "kernels/launch_shape.h"
#include "problem.h"

namespace per_step_dense::sm90 {

// Why the family does not take a problem; empty where it does.
std::string why_not(const ForwardProblem& problem);
std::string why_not(const BackwardProblem& problem);

// Whether there is a tile of this index for such rows.
bool has_tile(DType dtype, const RowRanges& rows, int tile);

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice);
LaunchPlan plan(const BackwardProblem& problem, const Choice& choice);

}  // namespace per_step_dense::sm90
