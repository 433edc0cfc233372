// Shadows csrc/kernels/cuda.cuh.
#pragma once

#include <cuda_runtime.h>

namespace per_step_dense {

template <class SharedStorage>
SharedStorage& shared_storage() {
  void* smem = ::emulator::dynamic_shared_memory(sizeof(SharedStorage), alignof(SharedStorage));
  return *static_cast<SharedStorage*>(smem);
}

}  // namespace per_step_dense
