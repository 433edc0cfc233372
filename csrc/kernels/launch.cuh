// Launching a kernel that takes one parameter struct.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/launch_shape.h"

namespace per_step_dense {

template <class Params>
cudaError_t launch(void (*kernel)(Params), const LaunchShape& shape, Params params,
                   cudaStream_t stream) {
  void* arguments[] = {&params};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(shape.blocks),
                          dim3(shape.threads), arguments, shape.smem_bytes, stream);
}

}  // namespace per_step_dense
