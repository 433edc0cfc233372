// Host code of the family: a problem becomes work, the work launches.
#include "kernels/scalar.cuh"
#include "kernels/simt/simt.h"
#include "kernels/simt/tiles.h"
#include "kernels/simt/work.h"
#include "kernels/tiled/run.h"

namespace per_step_dense::simt {

// Defined per element type in files of their own.
template <class Scalar>
cudaError_t launch_forward(const tiled::ForwardWork& work, int tile, cudaStream_t stream);
template <class Scalar>
cudaError_t launch_backward(const tiled::BackwardWork& work, int tile, cudaStream_t stream);

cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream) {
  if (!is_tile(choice.tile)) return cudaErrorInvalidValue;
  const tiled::ForwardWork work = forward_work(problem, choice, workspace);
  return tiled::run(work, problem.dtype, stream, [&] {
    return visit_scalar(problem.dtype, [&](auto tag) {
      return launch_forward<typename decltype(tag)::type>(work, choice.tile, stream);
    });
  });
}

cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream) {
  if (!is_tile(choice.tile)) return cudaErrorInvalidValue;
  const tiled::BackwardWork work = backward_work(problem, choice, workspace);
  return tiled::run(work, problem.dtype, stream, [&] {
    return visit_scalar(problem.dtype, [&](auto tag) {
      return launch_backward<typename decltype(tag)::type>(work, choice.tile, stream);
    });
  });
}

}  // namespace per_step_dense::simt
