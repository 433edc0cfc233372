// Host code of the family: a problem becomes work, the work launches.
#include "kernels/scalar.cuh"
#include "kernels/sm80/sm80.h"
#include "kernels/sm80/tiles.h"
#include "kernels/sm80/work.h"
#include "kernels/tiled/run.h"

namespace per_step_dense::sm80 {

// Defined per element type in files of their own; float means tfloat32.
template <class Scalar>
cudaError_t launch_forward(const tiled::ForwardWork& work, int tile, cudaStream_t stream);
template <class Scalar>
cudaError_t launch_backward(const tiled::BackwardWork& work, int tile, cudaStream_t stream);

namespace {

// The element types of the dtypes that the family takes.
template <class Visit>
cudaError_t visit_operand(DType dtype, Visit&& visit) {
  switch (dtype) {
    case DType::kFloat16:
      return visit(TypeTag<__half>{});
    case DType::kBFloat16:
      return visit(TypeTag<__nv_bfloat16>{});
    case DType::kTFloat32:
      return visit(TypeTag<float>{});
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream) {
  if (!is_tile(choice.tile) || !takes(problem.dtype)) return cudaErrorInvalidValue;
  const tiled::ForwardWork work = forward_work(problem, choice, workspace);
  return tiled::run(work, problem.dtype, stream, [&] {
    return visit_operand(problem.dtype, [&](auto tag) {
      return launch_forward<typename decltype(tag)::type>(work, choice.tile, stream);
    });
  });
}

cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream) {
  if (!is_tile(choice.tile) || !takes(problem.dtype)) return cudaErrorInvalidValue;
  const tiled::BackwardWork work = backward_work(problem, choice, workspace);
  return tiled::run(work, problem.dtype, stream, [&] {
    return visit_operand(problem.dtype, [&](auto tag) {
      return launch_backward<typename decltype(tag)::type>(work, choice.tile, stream);
    });
  });
}

}  // namespace per_step_dense::sm80
