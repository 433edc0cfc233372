// Wrappers of single instructions, each named after its own. Kernels touch global memory only
// through them: that is how the tests' emulator sees every access.
#pragma once

#include "kernels/cuda.cuh"

namespace per_step_dense::ptx {

// Loads through the read-only path: the value must not change while the kernel runs.
template <class T>
__device__ __forceinline__ T ld_global_nc(const T* gmem) {
  return __ldg(gmem);
}

template <class T>
__device__ __forceinline__ void st_global(T* gmem, T value) {
  *gmem = value;
}

}  // namespace per_step_dense::ptx
