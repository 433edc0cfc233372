#include "kernels/launch.cuh"
#include "kernels/mma_sync_gemm.cuh"

namespace per_step_dense::example {

cudaError_t mma_sync_gemm(const GemmProblem& problem, cudaStream_t stream) {
  const int tiles = problem.t * ceil_div(problem.b, MmaSyncTile::kBlockM) *
                    ceil_div(problem.o, MmaSyncTile::kBlockN);
  const LaunchShape shape{unsigned(tiles), MmaSyncTile::kThreads, sizeof(MmaSyncStorage)};
  return launch(mma_sync_gemm_kernel, shape, problem, stream);
}

}  // namespace per_step_dense::example
