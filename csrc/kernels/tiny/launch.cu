// Host code of the family: a problem becomes a list of items, the list one launch.
#include "kernels/launch.cuh"
#include "kernels/split_sum.h"
#include "kernels/tiny/kernel.cuh"
#include "kernels/tiny/tiny.h"

namespace per_step_dense::tiny {
namespace {

cudaError_t run(const Work& work, DType dtype, int tile, cudaStream_t stream) {
  if (!work.is_valid) return cudaErrorInvalidValue;
  if (work.plan.launches == 0) return cudaSuccess;
  cudaError_t status = cudaErrorInvalidValue;
  visit_scalar(dtype, [&](auto tag) {
    visit_type_at(Tiles{}, tile, [&](auto tile) {
      using Kernels = Config<typename decltype(tag)::type, decltype(tile)>;
      status = launch(units_kernel<Kernels>, work.plan.shape, work.items, stream);
    });
  });
  if (status != cudaSuccess || work.plan.launches == 1) return status;
  return add_up_splits(dtype, work.sums, stream);
}

}  // namespace

cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream) {
  return run(make_work(problem, choice, workspace), problem.dtype, choice.tile, stream);
}

cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream) {
  return run(make_work(problem, choice, workspace), problem.dtype, choice.tile, stream);
}

}  // namespace per_step_dense::tiny
