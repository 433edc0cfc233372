#include <algorithm>

#include "kernels/activation_backward.cuh"
#include "kernels/activation_backward.h"
#include "kernels/launch.cuh"

namespace per_step_dense {
namespace {

bool is_contiguous(const View3& view, const ActivationBackwardProblem& problem) {
  return view.stride[2] == 1 && view.stride[1] == problem.o &&
         view.stride[0] == problem.t * problem.o;
}

}  // namespace

cudaError_t activation_backward(const ActivationBackwardProblem& problem, cudaStream_t stream) {
  const int64_t elements = problem.b * problem.t * problem.o;
  if (elements == 0) return cudaSuccess;

  ActivationBackwardProblem flat = problem;
  if (is_contiguous(problem.dy, problem) && is_contiguous(problem.saved, problem) &&
      is_contiguous(problem.dz, problem)) {
    flat.b = flat.t = 1;
    flat.o = elements;
  }
  const int64_t blocks = (elements + kActivationBackwardThreads - 1) / kActivationBackwardThreads;
  const LaunchShape shape{unsigned(std::min(blocks, kMaxBlocks)), kActivationBackwardThreads, 0};
  return visit_scalar(problem.dtype, [&](auto tag) {
    return launch(activation_backward_kernel<typename decltype(tag)::type>, shape, flat, stream);
  });
}

}  // namespace per_step_dense
