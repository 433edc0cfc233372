#include "cost_parts.h"

#include <algorithm>

#include "kernels/tiled/products.h"

namespace per_step_dense::cost {
namespace {

template <class Product>
tiled::OperandAccesses accesses_of(const Gemm& gemm, DType dtype) {
  return tiled::accesses_of(gemm, Product::kMajorA, Product::kMajorB, dtype);
}

Gemm with_equal_rows(Gemm gemm) {
  const int64_t steps = std::max<int64_t>(gemm.t, 1);
  if (gemm.m_ranges.begin) gemm.m = ceil_div(gemm.m_ranges.total, steps);
  if (gemm.k_ranges.begin) gemm.k = ceil_div(gemm.k_ranges.total, steps);
  gemm.m_ranges = gemm.k_ranges = {};
  return gemm;
}

}  // namespace

double activation_slots(Activation activation, DType dtype) {
  const bool is_rounded = has_16_bits(dtype);  // by RoundedMath
  switch (activation) {
    case Activation::kNone:
      break;
    case Activation::kRelu:
      return 2;
    case Activation::kSigmoid:
      return is_rounded ? 4 : 20;
    case Activation::kSilu:
      return is_rounded ? 5 : 20;
    case Activation::kTanh:
      return is_rounded ? 12 : 18;
    case Activation::kGeluTanh:
      return is_rounded ? 8 : 25;
    case Activation::kGelu:
      return is_rounded ? 13 : 33;
  }
  return 0;
}

Products products_of(const ForwardProblem& problem) {
  const Gemm forward = with_equal_rows(forward_product(problem));
  return {{forward, {}}, {accesses_of<tiled::Forward>(forward, problem.dtype), {}}};
}

Products products_of(const BackwardProblem& problem) {
  const Gemm grad_input = with_equal_rows(grad_input_product(problem));
  const Gemm grad_weight = with_equal_rows(grad_weight_product(problem));
  return {{grad_input, grad_weight},
          {accesses_of<tiled::GradInput>(grad_input, problem.dtype),
           accesses_of<tiled::GradWeight>(grad_weight, problem.dtype)}};
}

}  // namespace per_step_dense::cost
