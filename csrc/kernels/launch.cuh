// Launching a kernel that takes one parameter struct.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/launch_shape.h"

namespace per_step_dense {

// What a kernel may have of shared memory without being allowed more.
inline constexpr size_t kDefaultSmemBytes = 48 * 1024;

template <class Params>
cudaError_t launch(void (*kernel)(Params), const LaunchShape& shape, Params params,
                   cudaStream_t stream) {
  const auto function = reinterpret_cast<const void*>(kernel);
  if (shape.smem_bytes > kDefaultSmemBytes) {
    const cudaError_t status = cudaFuncSetAttribute(
        function, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.smem_bytes));
    if (status != cudaSuccess) return status;
  }
  void* arguments[] = {&params};
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim = {shape.cluster, 1, 1};
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(shape.blocks);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.smem_bytes;
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = shape.cluster > 1 ? 1 : 0;  // sm_80 knows of none
  return cudaLaunchKernelExC(&config, function, arguments);
}

}  // namespace per_step_dense
