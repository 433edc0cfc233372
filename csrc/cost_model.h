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
#include "cost_parts.h"
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

// The rate of the units that compute a dtype best.
double flops_ceiling(DType dtype, const Architecture& architecture);

double floor_us(const Work& work, DType dtype, const Architecture& architecture);

// A kernel that only streams this many bytes.
double pass_us(double bytes, const Architecture& architecture);

struct Estimate {
  double us;
  double kernel_us;  // what of it is not memory's and the launches'
};

// Of choices that memory alone bounds, the one that leaves more time to spare is less.
inline bool operator<(const Estimate& one, const Estimate& other) {
  return one.us != other.us ? one.us < other.us : one.kernel_us < other.kernel_us;
}

// What choices for one problem should take: of this package's kernels, or ATen's route of bmm and
// passes after it.
template <class Problem>
class Estimator {
 public:
  // Both are referred to for as long as it lives.
  Estimator(const Problem& problem, const Architecture& architecture);

  Estimate estimate(const Choice& choice) const;

 private:
  double kernel_us(const Choice& choice, const LaunchPlan& plan) const;

  const Problem& problem_;
  const Architecture& architecture_;
  const Work work_;
  const cost::Products products_;
};

extern template class Estimator<ForwardProblem>;
extern template class Estimator<BackwardProblem>;

}  // namespace per_step_dense
