// Shadows csrc/kernels/ptx.cuh: the same wrappers with the emulator's bodies, and those of engines
// that only the emulator's own example kernels use so far.
#pragma once

#include <cuda.h>

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
void st_global(T* gmem, T value) {
  ::emulator::check_global_write(gmem, sizeof(T));
  *gmem = value;
}

// --- barriers and the warp

inline uint32_t cvta_to_shared(const void* smem) { return ::emulator::shared_address(smem); }

template <int kBarrier, int kThreads>
void bar_sync() {
  ::emulator::named_barrier_sync(kBarrier, kThreads);
}
inline void bar_sync(int barrier, int threads) { ::emulator::named_barrier_sync(barrier, threads); }
inline void bar_arrive(int barrier, int threads) {
  ::emulator::named_barrier_arrive(barrier, threads);
}
inline bool elect_sync() { return ::emulator::elect_one(0xffffffffu); }

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
inline void mma_m16n8k8_tf32(float (&accum)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  ::emulator::mma_m16n8k8_tf32(accum, a, b);
}
inline uint32_t cvt_rna_tf32(float value) { return ::emulator::float_to_tfloat32(value); }

// --- mbarrier and the async proxy

inline void mbarrier_init(uint32_t barrier, uint32_t arrivals) {
  ::emulator::mbarrier_init(barrier, arrivals);
}
inline void mbarrier_arrive(uint32_t barrier) { ::emulator::mbarrier_arrive(barrier, 0); }
inline void mbarrier_arrive_expect_tx(uint32_t barrier, uint32_t bytes) {
  ::emulator::mbarrier_arrive(barrier, bytes);
}
inline bool mbarrier_try_wait_parity(uint32_t barrier, uint32_t parity) {
  return ::emulator::mbarrier_try_wait_parity(barrier, parity);
}
inline void fence_mbarrier_init() { ::emulator::fence_mbarrier_init(); }
inline void fence_proxy_async() { ::emulator::fence_proxy_async(); }

// --- TMA

inline void cp_async_bulk_tensor_load(uint32_t smem, const CUtensorMap* map, uint32_t barrier,
                                      int c0, int c1, int c2) {
  ::emulator::tma_load(smem, map, barrier, {c0, c1, c2});
}
inline void cp_async_bulk_tensor_store(const CUtensorMap* map, uint32_t smem, int c0, int c1,
                                       int c2) {
  ::emulator::tma_store(map, smem, {c0, c1, c2});
}
inline void cp_async_bulk_commit_group() { ::emulator::bulk_commit_group(); }
template <int kPending>
void cp_async_bulk_wait_group_read() {
  ::emulator::bulk_wait_group(kPending);
}

// --- wgmma

inline void wgmma_fence() { ::emulator::wgmma_fence(); }
inline void wgmma_commit_group() { ::emulator::wgmma_commit_group(); }
template <int kPending>
void wgmma_wait_group() {
  ::emulator::wgmma_wait_group(kPending);
}
template <int kN, bool kTransA, bool kTransB>
void wgmma_m64k16_bf16(float (&accum)[kN / 2], uint64_t descriptor_a, uint64_t descriptor_b,
                       bool accumulate) {
  static_assert(kN >= 8 && kN <= 256 && kN % 8 == 0, "not a shape of wgmma");
  ::emulator::wgmma_bf16(accum, {kN, kTransA, kTransB}, descriptor_a, descriptor_b, accumulate);
}
// Keeps nvcc from moving accesses to the accumulator across a wgmma; here calls do that.
template <int kCount>
void fence_operand(float (&)[kCount]) {}
template <int kRegisters>
void setmaxnreg_inc() {
  ::emulator::setmaxnreg(kRegisters);
}
template <int kRegisters>
void setmaxnreg_dec() {
  ::emulator::setmaxnreg(kRegisters);
}

}  // namespace per_step_dense::ptx
