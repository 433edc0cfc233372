#include <algorithm>

#include "cost_model.h"
#include "cost_parts.h"

namespace per_step_dense::cost {
namespace {

// Of the tensor cores' reached rate, what cuBLAS makes of 64 x 64 granules, and of rows that are
// not 16-byte aligned: those go through mma.sync, at 0.7 of its aligned rate on an RTX 4090
// (pytorch issue 181718). To be measured.
constexpr double kEfficiency = 0.9, kUnalignedEfficiency = 0.4;
constexpr int64_t kGranule = 64;

double round_up(int64_t value, int64_t granule) {
  return double(ceil_div(value, granule) * granule);
}

double product_us(const Gemm& gemm, bool is_aligned, DType dtype,
                  const Architecture& architecture) {
  if (!gemm.c.data) return 0;
  const double peak = flops_ceiling(dtype, architecture);
  const double flops = 2.0 * double(gemm.t) * round_up(gemm.m, kGranule) *
                       round_up(gemm.n, kGranule) * double(gemm.k);
  const double elems =
      double(gemm.t) * (double(gemm.m) * double(gemm.k) + double(gemm.k) * double(gemm.n) +
                        double(gemm.m) * double(gemm.n));
  const double efficiency = is_aligned ? kEfficiency : kUnalignedEfficiency;
  return kLaunchUs + kPrologueUs + kEpilogueUs +
         kUs * std::max(flops / (peak * efficiency),
                        elems * double(bytes_of(dtype)) / architecture.bandwidth);
}

// Whether rows of x, weight and dz can begin at multiples of 16 bytes.
template <class Problem>
bool is_aligned(const Problem& problem) {
  const int64_t vector = 16 / bytes_of(problem.dtype);
  return problem.i % vector == 0 && problem.o % vector == 0;
}

// A pass over that many elements, reading and writing counted apart.
double elementwise_us(double elems, DType dtype, const Architecture& architecture) {
  return pass_us(elems * double(bytes_of(dtype)), architecture);
}

// In the elements' type cuBLAS reads what it adds to; float32 is written, then added by a pass.
double accumulation_us(const BackwardProblem& problem, const Architecture& architecture) {
  const double elems = double(problem.t) * double(problem.i) * double(problem.o);
  switch (problem.accumulation) {
    case Accumulation::kOverwrite:
      return 0;
    case Accumulation::kAdd:
      return kUs * elems * double(bytes_of(problem.dtype)) / architecture.bandwidth;
    case Accumulation::kAddFloat32:
      break;
  }
  return elementwise_us(3 * elems, DType::kFloat32, architecture);
}

}  // namespace

double library_us(const ForwardProblem& problem, const Architecture& architecture) {
  const double outputs = double(problem.b) * double(problem.t) * double(problem.o);
  const bool is_activated = problem.activation != Activation::kNone;
  return product_us(forward_product(problem), is_aligned(problem), problem.dtype, architecture) +
         elementwise_us(2 * outputs, problem.dtype, architecture) +
         (is_activated || problem.z.data ? elementwise_us(2 * outputs, problem.dtype, architecture)
                                         : 0);
}

double library_us(const BackwardProblem& problem, const Architecture& architecture) {
  const DType dtype = problem.dtype;
  const double steps = double(problem.b) * double(problem.t);
  double us = 0;
  if (problem.dx.data) {
    us += product_us(grad_input_product(problem), is_aligned(problem), dtype, architecture) +
          elementwise_us(2 * steps * double(problem.i), dtype, architecture);
  }
  if (problem.dweight.data) {
    us += product_us(grad_weight_product(problem), is_aligned(problem), dtype, architecture) +
          accumulation_us(problem, architecture);
  }
  if (problem.dbias.data) us += elementwise_us(steps * double(problem.o), dtype, architecture);
  return us;
}
}  // namespace per_step_dense::cost
