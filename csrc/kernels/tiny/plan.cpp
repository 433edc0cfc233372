#include "kernels/tiny/plan.h"

#include <algorithm>
#include <sstream>

#include "kernels/tiny/tiles.h"
#include "kernels/tiny/work.h"

namespace per_step_dense::tiny {
namespace {

constexpr int64_t kMostWeights = 4096;  // of a step
constexpr int64_t kMostRows = 4;        // that a stream of weights is read for

// Of one dimension; the kernels count in 32 bits.
constexpr int64_t kMostExtent = int64_t{1} << 30;

// Whichever way round the product is computed.
bool is_countable(const Gemm& gemm) {
  for (const int64_t extent : {gemm.t, gemm.m, gemm.n, gemm.k}) {
    if (extent > kMostExtent) return false;
  }
  // Extents are small enough by now for one product of two, not for one of three.
  const int64_t m = rows_of_a_step(gemm), columns = gemm.t * gemm.n, rows = gemm.t * m;
  // One at least: column sums need it, and columns are counted where there is no row, too.
  const int64_t row_groups = std::max<int64_t>(ceil_div(m, kRows), 1);
  return rows <= kMaxUnits && columns <= kMaxUnits / row_groups;
}

template <class Problem>
std::string why_not_sizes(const Problem& problem) {
  const int64_t b = problem.rows.begin ? problem.rows.most : problem.b;
  const int64_t i = problem.i, o = problem.o;
  if (b <= kMostRows || o <= 1 || i == 0 || o <= kMostWeights / i) return {};
  std::ostringstream text;
  text << "tiny needs I * O <= " << kMostWeights << ", B <= " << kMostRows
       << " or O = 1; got B = " << b << ", I = " << i << ", O = " << o;
  return text.str();
}

constexpr const char* kTooMany = "tiny needs fewer than 2^31 groups of 4 outputs";

}  // namespace

std::string why_not(const ForwardProblem& problem) {
  std::string reason = why_not_sizes(problem);
  if (reason.empty() && !is_countable(forward_product(problem))) reason = kTooMany;
  return reason;
}

std::string why_not(const BackwardProblem& problem) {
  std::string reason = why_not_sizes(problem);
  if (reason.empty() &&
      !(is_countable(grad_input_product(problem)) && is_countable(grad_weight_product(problem)))) {
    reason = kTooMany;
  }
  return reason;
}

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice) {
  return make_work(problem, choice, nullptr).plan;
}

LaunchPlan plan(const BackwardProblem& problem, const Choice& choice) {
  return make_work(problem, choice, nullptr).plan;
}

}  // namespace per_step_dense::tiny
