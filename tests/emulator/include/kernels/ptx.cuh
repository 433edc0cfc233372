// Shadows csrc/kernels/ptx.cuh: the same wrappers with the emulator's bodies.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda.cuh"
#include "runtime/tfloat32.h"

namespace per_step_dense::ptx {

// --- global memory

template <class T>
T ld_global_nc(const T* gmem) {
  ::emulator::check_global_read(gmem, sizeof(T));
  return *gmem;
}

template <class T>
T ld_global(const T* gmem) {
  ::emulator::check_global_read_of_own(gmem, sizeof(T));
  return *gmem;
}

template <class T>
void st_global(T* gmem, T value) {
  ::emulator::check_global_write(gmem, sizeof(T));
  *gmem = value;
}

// --- shared memory

inline uint32_t cvta_to_shared(const void* smem) { return ::emulator::shared_address(smem); }

// --- cp.async

template <int kBytes>
void cp_async(uint32_t smem, const void* gmem, int source_bytes = kBytes) {
  ::emulator::cp_async(smem, gmem, kBytes, source_bytes);
}
inline void cp_async_commit_group() { ::emulator::cp_async_commit_group(); }
template <int kPending>
void cp_async_wait_group() {
  ::emulator::cp_async_wait_group(kPending);
}

// --- ldmatrix and mma.sync

inline void ldmatrix_x4(uint32_t (&matrices)[4], uint32_t smem_row) {
  ::emulator::ldmatrix_x4(matrices, /*transposed=*/false, smem_row);
}
inline void ldmatrix_x4_trans(uint32_t (&matrices)[4], uint32_t smem_row) {
  ::emulator::ldmatrix_x4(matrices, /*transposed=*/true, smem_row);
}
inline void mma_m16n8k16_bf16(float (&accum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  ::emulator::mma_m16n8k16_bf16(accum, a, b);
}
inline void mma_m16n8k16_f16(float (&accum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  ::emulator::mma_m16n8k16_f16(accum, a, b);
}
// What is subnormal becomes 0 of the same sign.
inline float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}
inline void mma_m16n8k8_tf32(float (&accum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  ::emulator::mma_m16n8k8_tf32(accum, a, b);
}
inline float ex2_approx_ftz(float exponent) { return flushed(std::exp2(flushed(exponent))); }
inline float rcp_approx_ftz(float value) { return flushed(1.0f / flushed(value)); }
inline uint32_t cvt_rna_tf32(float value) { return ::emulator::float_to_tfloat32(value); }

}  // namespace per_step_dense::ptx
