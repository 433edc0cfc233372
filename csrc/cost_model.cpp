#include "cost_model.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "choose_kernel.h"
#include "kernels/gemm.h"

namespace per_step_dense {
namespace {

int64_t span(int64_t extent, int64_t stride) { return (extent - 1) * std::abs(stride); }

// The different elements a view can show: those of overlapping windows count once.
double elems_of(const void* data, std::initializer_list<int64_t> extents, const int64_t* strides) {
  if (!data) return 0;
  double product = 1, reach = 1;
  for (const int64_t extent : extents) {
    if (extent == 0) return 0;
    if (*strides != 0) product *= double(extent);
    reach += double(span(extent, *strides));
    ++strides;
  }
  return std::min(product, reach);
}

double flops_of(const Gemm& gemm) {
  const double m = double(gemm.m), n = double(gemm.n), k = double(gemm.k);
  if (gemm.m_ranges.begin) return 2.0 * double(gemm.m_ranges.total) * n * k;
  if (gemm.k_ranges.begin) return 2.0 * m * n * double(gemm.k_ranges.total);
  return 2.0 * double(gemm.t) * m * n * k;
}

// Of the rows of x, y and their gradients.
template <class Problem>
double elems_of_rows(const Problem& p, const View3& view, int64_t columns) {
  if (!p.rows.begin) return elems_of(view.data, {p.b, p.t, columns}, view.stride);
  return view.data ? double(p.rows.total) * double(columns) : 0;
}

}  // namespace

Work work_of(const ForwardProblem& p) {
  const double elems = elems_of_rows(p, p.x, p.i) +
                       elems_of(p.weight.data, {p.t, p.i, p.o}, p.weight.stride) +
                       elems_of(p.bias.data, {p.t, p.o}, p.bias.stride) +
                       elems_of_rows(p, p.y, p.o) + elems_of_rows(p, p.z, p.o);
  return {flops_of(forward_product(p)), elems * double(bytes_of(p.dtype))};
}

Work work_of(const BackwardProblem& p) {
  double elems = elems_of_rows(p, p.dz, p.o);
  double gradient_elems = elems_of(p.dbias.data, {p.t, p.o}, p.dbias.stride);
  double flops = 0;
  if (p.dx.data) {
    elems +=
        elems_of(p.weight.data, {p.t, p.i, p.o}, p.weight.stride) + elems_of_rows(p, p.dx, p.i);
    flops += flops_of(grad_input_product(p));
  }
  if (p.dweight.data) {
    elems += elems_of_rows(p, p.x, p.i);
    gradient_elems += elems_of(p.dweight.data, {p.t, p.i, p.o}, p.dweight.stride);
    flops += flops_of(grad_weight_product(p));
  }
  // What is added to is read as well.
  const double accesses = p.accumulation == Accumulation::kOverwrite ? 1 : 2;
  return {flops, elems * double(bytes_of(p.dtype)) +
                     accesses * gradient_elems * double(bytes_of(dtype_of_parameter_gradients(p)))};
}

double flops_ceiling(DType dtype, const Architecture& architecture) {
  switch (dtype) {
    case DType::kFloat32:
      return architecture.fp32_flops;
    case DType::kFloat64:
      return architecture.tensor_fp64_flops;
    case DType::kTFloat32:
      return architecture.tensor_tf32_flops;
    default:
      return architecture.tensor_16bit_flops;
  }
}

double floor_us(const Work& work, DType dtype, const Architecture& architecture) {
  return cost::kUs * std::max(work.flops / flops_ceiling(dtype, architecture),
                              work.bytes / architecture.bandwidth);
}

double pass_us(double bytes, const Architecture& architecture) {
  return cost::kLaunchUs + cost::kUs * bytes / architecture.bandwidth;
}

template <class Problem>
Estimator<Problem>::Estimator(const Problem& problem, const Architecture& architecture)
    : problem_(problem),
      architecture_(architecture),
      work_(work_of(problem)),
      products_(cost::products_of(problem)) {}

template <class Problem>
Estimate Estimator<Problem>::estimate(const Choice& choice) const {
  if (choice.family == KernelFamily::kAten) {
    const double us = cost::library_us(problem_, architecture_);
    return {us, us};
  }
  const LaunchPlan plan = plan_of(problem_, choice);
  // The parts of a split sum are written once and read once.
  const double gmem_bytes = work_.bytes + 2 * double(plan.workspace_bytes);
  const double gmem_us = cost::kUs * gmem_bytes / (architecture_.bandwidth * cost::kBandwidthShare);
  const double own_us = kernel_us(choice, plan);
  return {plan.launches * cost::kLaunchUs + std::max(gmem_us, own_us), own_us};
}

template <class Problem>
double Estimator<Problem>::kernel_us(const Choice& choice, const LaunchPlan& plan) const {
  switch (choice.family) {
    case KernelFamily::kTiny:
      return cost::tiny_us(products_, choice, plan, problem_.dtype, architecture_);
    case KernelFamily::kSm80:
      return cost::sm80_us(products_, choice, plan, problem_.dtype, architecture_);
    case KernelFamily::kSm90:
      return cost::sm90_us(products_, kPassOf<Problem> == Pass::kBackward, choice, plan,
                           problem_.dtype, architecture_);
    default:
      return cost::simt_us(products_, choice, problem_.dtype, architecture_);
  }
}

template class Estimator<ForwardProblem>;
template class Estimator<BackwardProblem>;

}  // namespace per_step_dense
