// From work to launches: the kernel's own, and one more where sums were split.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/split_sum.h"
#include "kernels/tiled/tiled_gemm.h"

namespace per_step_dense::tiled {

// `launch_kernel` launches what the work's plan says.
template <class Work, class LaunchKernel>
cudaError_t run(const Work& work, DType dtype, cudaStream_t stream, LaunchKernel&& launch_kernel) {
  if (work.plan.launches == 0) return cudaSuccess;
  const cudaError_t status = launch_kernel();
  return status == cudaSuccess ? add_up_splits(dtype, work.sums, stream) : status;
}

}  // namespace per_step_dense::tiled
