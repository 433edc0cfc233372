#include <algorithm>

#include "cost_model.h"
#include "cost_parts.h"

namespace per_step_dense::cost {
namespace {

// Of the reached rate, what cuBLAS makes of 64 x 64 granules, and of rows that begin at multiples
// of fewer than 16 bytes: the tensor cores' loops lose more by that than the FMA units'. And what
// it reaches of a copy's bandwidth. Measured.
constexpr double kEfficiency = 0.9, kUnalignedFmaEfficiency = 0.5;
constexpr double kEfficiencyOfByte = 0.025;  // of alignment
constexpr double kLibraryBandwidthShare = 0.93;
constexpr int64_t kGranule = 64;
constexpr int kVectorBytes = 16;

// Of a batched product, which it does not split: whatever there are fewer of leaves multiprocessors
// idle.
constexpr int64_t kTileRows = 128, kTileColumns = 64;

double round_up(int64_t value, int64_t granule) {
  return double(ceil_div(value, granule) * granule);
}

double efficiency_of(const Gemm& gemm, int alignment, DType dtype,
                     const Architecture& architecture) {
  const double of_unaligned =
      dtype == DType::kFloat32 ? kUnalignedFmaEfficiency : kEfficiencyOfByte * alignment;
  const double tiles =
      double(gemm.t * ceil_div(gemm.m, kTileRows) * ceil_div(gemm.n, kTileColumns));
  const double efficiency = alignment == kVectorBytes ? kEfficiency : of_unaligned;
  return efficiency * std::min(tiles / architecture.sms, 1.0);
}

double product_us(const Gemm& gemm, int alignment, DType dtype, const Architecture& architecture) {
  if (!gemm.c.data || gemm.t == 0 || gemm.m == 0 || gemm.n == 0) return 0;
  const double rate =
      flops_ceiling(dtype, architecture) * efficiency_of(gemm, alignment, dtype, architecture);
  const double flops = 2.0 * double(gemm.t) * round_up(gemm.m, kGranule) *
                       round_up(gemm.n, kGranule) * double(gemm.k);
  const double elems =
      double(gemm.t) * (double(gemm.m) * double(gemm.k) + double(gemm.k) * double(gemm.n) +
                        double(gemm.m) * double(gemm.n));
  const double bandwidth = architecture.bandwidth * kLibraryBandwidthShare;
  return kLaunchUs + kPrologueUs + kEpilogueUs +
         kUs * std::max(flops / rate, elems * double(bytes_of(dtype)) / bandwidth);
}

// Of what number of bytes rows of x, weight and dz begin at multiples, at most 16.
template <class Problem>
int alignment_of(const Problem& problem) {
  const int64_t bytes = bytes_of(problem.dtype);
  int alignment = kVectorBytes;
  while ((problem.i * bytes) % alignment != 0 || (problem.o * bytes) % alignment != 0) {
    alignment /= 2;
  }
  return alignment;
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
  return product_us(forward_product(problem), alignment_of(problem), problem.dtype, architecture) +
         elementwise_us(2 * outputs, problem.dtype, architecture) +
         (is_activated || problem.z.data ? elementwise_us(2 * outputs, problem.dtype, architecture)
                                         : 0);
}

double library_us(const BackwardProblem& problem, const Architecture& architecture) {
  const DType dtype = problem.dtype;
  const double steps = double(problem.b) * double(problem.t);
  double us = 0;
  if (problem.dx.data) {
    us += product_us(grad_input_product(problem), alignment_of(problem), dtype, architecture) +
          elementwise_us(2 * steps * double(problem.i), dtype, architecture);
  }
  if (problem.dweight.data) {
    us += product_us(grad_weight_product(problem), alignment_of(problem), dtype, architecture) +
          accumulation_us(problem, architecture);
  }
  if (problem.dbias.data) us += elementwise_us(steps * double(problem.o), dtype, architecture);
  return us;
}
}  // namespace per_step_dense::cost
