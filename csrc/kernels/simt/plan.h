// What a choice of this family comes to. Pure host code: no CUDA header.
#pragma once

#include <string>

#include "choice.h"
#include "kernels/launch_shape.h"
#include "problem.h"

namespace per_step_dense::simt {

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice);
LaunchPlan plan(const BackwardProblem& problem, const Choice& choice);

}  // namespace per_step_dense::simt
