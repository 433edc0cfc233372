// Shadows csrc/kernels/launch.cuh: the same function, which runs the kernel here and now.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/launch_shape.h"

namespace per_step_dense {

template <class Params>
struct LaunchArguments {
  void (*kernel)(Params);
  Params params;
};

template <class Params>
cudaError_t launch(void (*kernel)(Params), const LaunchShape& shape, Params params, cudaStream_t) {
  LaunchArguments<Params> arguments{kernel, params};
  const auto run_thread = [](void* opaque) {
    const auto* arguments = static_cast<const LaunchArguments<Params>*>(opaque);
    arguments->kernel(arguments->params);
  };
  return ::emulator::launch({dim3(shape.blocks), dim3(shape.threads), shape.cluster,
                             shape.smem_bytes, run_thread, &arguments,
                             reinterpret_cast<const void*>(kernel)});
}

}  // namespace per_step_dense
