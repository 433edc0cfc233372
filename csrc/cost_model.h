// How long a call should take: good enough to rank kernels with, not to trust under 10 %.
//
//   estimate = launches + max(time of global memory, of L2, of the multiprocessors)
//   floor    = max(operations / ceiling, each input and output once / bandwidth)
//
// Every figure is in microseconds unless its name says otherwise. Pure host code.
#pragma once

#include <cstdint>

#include "architecture.h"
#include "choice.h"
#include "kernels/launch_shape.h"
#include "problem.h"

namespace per_step_dense {

// What a call has to do, whoever does it.
struct Work {
  double flops;
  double bytes;  // every input read once, every output written once; repeated elements once
};

Work work_of(const ForwardProblem& problem);
Work work_of(const BackwardProblem& problem);

double floor_us(const Work& work, DType dtype, const Architecture& architecture);

// A kernel that only streams this many bytes.
double pass_us(double bytes, const Architecture& architecture);

// What a choice of this package's kernels should take, or ATen's route of bmm and passes after it.
double estimate_us(const ForwardProblem& problem, const Choice& choice,
                   const Architecture& architecture);
double estimate_us(const BackwardProblem& problem, const Choice& choice,
                   const Architecture& architecture);

}  // namespace per_step_dense
