// The CUDA built-ins the kernels use. The tests' emulator puts a header of this name first on its
// include path and so executes the same kernels on the CPU; that is why kernels include their
// siblings from csrc/ ("kernels/cuda.cuh"), never relative to themselves.
#pragma once

#include <cuda_runtime.h>

namespace per_step_dense {

// The block's dynamic shared memory, seen as the kernel's SharedStorage.
template <class SharedStorage>
__device__ __forceinline__ SharedStorage& shared_storage() {
  extern __shared__ __align__(1024) unsigned char smem[];
  return *reinterpret_cast<SharedStorage*>(smem);
}

}  // namespace per_step_dense
