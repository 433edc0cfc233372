// Wrappers of single instructions, each named after its own. Kernels touch global memory only
// through them: that is how the tests' emulator sees every access.
#pragma once

#include <cstdint>

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

__device__ __forceinline__ uint32_t cvta_to_shared(const void* smem) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(smem));
}

// Copies source_bytes of kBytes and fills the rest with zeros; with none, gmem is not accessed.
// Copies of 16 bytes go around L1, which only they can.
template <int kBytes>
__device__ __forceinline__ void cp_async(uint32_t smem, const void* gmem, int source_bytes) {
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(smem), "l"(gmem),
                 "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;\n" ::"r"(smem), "l"(gmem),
                 "n"(kBytes), "r"(source_bytes)
                 : "memory");
  }
}

__device__ __forceinline__ void cp_async_commit_group() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}

// Waits until at most kPending of this thread's groups are in flight.
template <int kPending>
__device__ __forceinline__ void cp_async_wait_group() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

}  // namespace per_step_dense::ptx
