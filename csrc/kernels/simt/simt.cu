// Host code of the family: a problem becomes work, the work one launch, and one more where sums
// were split.
#include "kernels/scalar.cuh"
#include "kernels/simt/simt.h"
#include "kernels/simt/tiles.h"
#include "kernels/simt/work.h"
#include "kernels/split_sum.h"

namespace per_step_dense::simt {

// Defined per element type in files of their own.
template <class Scalar>
cudaError_t launch_forward(const ForwardWork& work, int tile, cudaStream_t stream);
template <class Scalar>
cudaError_t launch_backward(const BackwardWork& work, int tile, cudaStream_t stream);

cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream) {
  if (!is_tile(choice.tile)) return cudaErrorInvalidValue;
  const ForwardWork work = forward_work(problem, choice, workspace);
  if (work.plan.launches == 0) return cudaSuccess;
  const cudaError_t status = visit_scalar(problem.dtype, [&](auto tag) {
    return launch_forward<typename decltype(tag)::type>(work, choice.tile, stream);
  });
  return status == cudaSuccess ? add_up_splits(problem.dtype, work.sums, stream) : status;
}

cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream) {
  if (!is_tile(choice.tile)) return cudaErrorInvalidValue;
  const BackwardWork work = backward_work(problem, choice, workspace);
  if (work.plan.launches == 0) return cudaSuccess;
  const cudaError_t status = visit_scalar(problem.dtype, [&](auto tag) {
    return launch_backward<typename decltype(tag)::type>(work, choice.tile, stream);
  });
  return status == cudaSuccess ? add_up_splits(problem.dtype, work.sums, stream) : status;
}

}  // namespace per_step_dense::simt
