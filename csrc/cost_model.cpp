#include "cost_model.h"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

#include "choose_kernel.h"
#include "cost_parts.h"
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
  return 2.0 * double(gemm.t) * double(gemm.m) * double(gemm.n) * double(gemm.k);
}

template <class Problem>
double estimate(const Problem& problem, const Choice& choice, const Architecture& architecture) {
  if (choice.family == KernelFamily::kAten) return cost::library_us(problem, architecture);
  const LaunchPlan plan = plan_of(problem, choice);
  const cost::Products products = cost::products_of(problem);
  // The parts of a split sum are written once and read once.
  const double gmem_bytes = work_of(problem).bytes + 2 * double(plan.workspace_bytes);
  const double gmem_us = cost::kUs * gmem_bytes / architecture.bandwidth;
  const double kernel_us = choice.family == KernelFamily::kTiny
                               ? cost::tiny_us(products, choice, plan, problem.dtype, architecture)
                               : cost::simt_us(products, choice, problem.dtype, architecture);
  return plan.launches * cost::kLaunchUs + std::max(gmem_us, kernel_us);
}

}  // namespace

Work work_of(const ForwardProblem& p) {
  const double elems = elems_of(p.x.data, {p.b, p.t, p.i}, p.x.stride) +
                       elems_of(p.weight.data, {p.t, p.i, p.o}, p.weight.stride) +
                       elems_of(p.bias.data, {p.t, p.o}, p.bias.stride) +
                       elems_of(p.y.data, {p.b, p.t, p.o}, p.y.stride) +
                       elems_of(p.z.data, {p.b, p.t, p.o}, p.z.stride);
  return {flops_of(forward_product(p)), elems * double(bytes_of(p.dtype))};
}

Work work_of(const BackwardProblem& p) {
  double elems = elems_of(p.dz.data, {p.b, p.t, p.o}, p.dz.stride);
  double flops = 0;
  if (p.dx.data) {
    elems += elems_of(p.weight.data, {p.t, p.i, p.o}, p.weight.stride) +
             elems_of(p.dx.data, {p.b, p.t, p.i}, p.dx.stride);
    flops += flops_of(grad_input_product(p));
  }
  if (p.dweight.data) {
    elems += elems_of(p.x.data, {p.b, p.t, p.i}, p.x.stride) +
             elems_of(p.dweight.data, {p.t, p.i, p.o}, p.dweight.stride);
    flops += flops_of(grad_weight_product(p));
  }
  elems += elems_of(p.dbias.data, {p.t, p.o}, p.dbias.stride);
  return {flops, elems * double(bytes_of(p.dtype))};
}

double floor_us(const Work& work, DType dtype, const Architecture& architecture) {
  const double ceiling = dtype == DType::kFloat32   ? architecture.fp32_flops
                         : dtype == DType::kFloat64 ? architecture.tensor_fp64_flops
                                                    : architecture.tensor_16bit_flops;
  return cost::kUs * std::max(work.flops / ceiling, work.bytes / architecture.bandwidth);
}

double pass_us(double bytes, const Architecture& architecture) {
  return cost::kLaunchUs + cost::kUs * bytes / architecture.bandwidth;
}

double estimate_us(const ForwardProblem& problem, const Choice& choice,
                   const Architecture& architecture) {
  return estimate(problem, choice, architecture);
}

double estimate_us(const BackwardProblem& problem, const Choice& choice,
                   const Architecture& architecture) {
  return estimate(problem, choice, architecture);
}

}  // namespace per_step_dense
