#include <algorithm>
#include <iterator>

#include "kernels/activation_backward.cuh"
#include "kernels/activation_backward.h"
#include "kernels/gemm.h"
#include "kernels/launch.cuh"

namespace per_step_dense {
namespace {

bool is_contiguous(const View3& view, const ActivationBackwardProblem& problem) {
  return view.stride[2] == 1 && view.stride[1] == problem.o &&
         view.stride[0] == problem.t * problem.o;
}

bool is_aligned(const View3& view) {
  return reinterpret_cast<uintptr_t>(view.data) % kVectorBytes == 0;
}

LaunchShape shape_for(int64_t threads) {
  const int64_t blocks = ceil_div(threads, kActivationBackwardThreads);
  return {unsigned(std::min(blocks, kMaxBlocks)), kActivationBackwardThreads, 0};
}

}  // namespace

cudaError_t activation_backward(const ActivationBackwardProblem& problem, cudaStream_t stream) {
  const int64_t elements = problem.b * problem.t * problem.o;
  if (elements == 0) return cudaSuccess;
  const View3 views[] = {problem.dy, problem.saved, problem.dz};
  const auto all = [&](auto holds) { return std::all_of(views, std::end(views), holds); };
  ActivationBackwardProblem flat = problem;
  bool by_vectors = false;
  const int64_t vector_elems = kVectorBytes / bytes_of(problem.dtype);
  if (all([&](const View3& view) { return is_contiguous(view, problem); })) {
    flat.b = flat.t = 1;
    flat.o = elements;
    by_vectors = elements % vector_elems == 0 && all(is_aligned);
  }
  return visit_scalar(problem.dtype, [&](auto tag) {
    using Scalar = typename decltype(tag)::type;
    return by_vectors
               ? launch(activation_backward_of_vectors_kernel<Scalar>,
                        shape_for(elements / vector_elems), flat, stream)
               : launch(activation_backward_kernel<Scalar>, shape_for(elements), flat, stream);
  });
}

}  // namespace per_step_dense
