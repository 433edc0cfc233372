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

// Of what this thread alone writes later.
template <class T>
__device__ __forceinline__ T ld_global(const T* gmem) {
  return *gmem;
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

// Four matrices of 8 x 8 elements of 16 bits, of which lane i gives the address of row i % 8 of
// matrix i / 8. A lane receives elements (i / 4, i % 4 * 2) and its right neighbour of each.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&matrices)[4], uint32_t smem_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(smem_row));
}

// The same of the transposed matrices.
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&matrices)[4], uint32_t smem_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(smem_row));
}

// accum += a b, where a is 16 x 16, b 16 x 8.
__device__ __forceinline__ void mma_m16n8k16_f16(float (&accum)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(accum[0]), "+f"(accum[1]), "+f"(accum[2]), "+f"(accum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&accum)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(accum[0]), "+f"(accum[1]), "+f"(accum[2]), "+f"(accum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// accum += a b, where a is 16 x 8, b 8 x 8.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&accum)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(accum[0]), "+f"(accum[1]), "+f"(accum[2]), "+f"(accum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// 2^exponent and 1 / value, to about 22 bits; what is subnormal becomes 0.
__device__ __forceinline__ float ex2_approx_ftz(float exponent) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(exponent));
  return power;
}
__device__ __forceinline__ float rcp_approx_ftz(float value) {
  float reciprocal;
  asm("rcp.approx.ftz.f32 %0, %1;\n" : "=f"(reciprocal) : "f"(value));
  return reciprocal;
}

// To the nearest value that tensor cores do not cut, ties away from zero.
__device__ __forceinline__ uint32_t cvt_rna_tf32(float value) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "f"(value));
  return rounded;
}

}  // namespace per_step_dense::ptx
