// Shadows csrc/kernels/ptx_sm90.cuh: the same wrappers with the emulator's bodies.
#pragma once

#include <cuda.h>

#include "kernels/ptx.cuh"
#include "kernels/ptx_wgmma.cuh"

namespace per_step_dense::ptx {

// --- who is who, and who waits for whom

inline bool elect_sync() { return ::emulator::elect_one(0xffffffffu); }

inline void bar_sync(int barrier, int threads) { ::emulator::named_barrier_sync(barrier, threads); }
inline void bar_arrive(int barrier, int threads) {
  ::emulator::named_barrier_arrive(barrier, threads);
}

inline uint32_t cluster_ctarank() { return ::emulator::cluster_rank(); }
inline void barrier_cluster_arrive() { ::emulator::barrier_cluster_arrive(); }
inline void barrier_cluster_wait() { ::emulator::barrier_cluster_wait(); }

// --- mbarrier

inline void mbarrier_init(uint32_t barrier, uint32_t arrivals) {
  ::emulator::mbarrier_init(barrier, arrivals);
}
inline void fence_mbarrier_init() { ::emulator::fence_mbarrier_init(); }
inline void mbarrier_arrive(uint32_t barrier) { ::emulator::mbarrier_arrive(barrier, 0); }
inline void mbarrier_arrive_cluster(uint32_t barrier, uint32_t rank) {
  ::emulator::mbarrier_arrive_cluster(barrier, rank);
}
inline void mbarrier_arrive_expect_tx(uint32_t barrier, uint32_t bytes) {
  ::emulator::mbarrier_arrive(barrier, bytes);
}
inline bool mbarrier_try_wait_parity(uint32_t barrier, uint32_t parity) {
  return ::emulator::mbarrier_try_wait_parity(barrier, parity);
}
inline void fence_proxy_async() { ::emulator::fence_proxy_async(); }

// --- shared memory that TMA fills

inline float ld_shared(uint32_t smem) { return ::emulator::load_shared<float>(smem); }
inline uint4 ld_shared_v4(uint32_t smem) { return ::emulator::load_shared<uint4>(smem); }

// --- TMA, rank 3

inline void prefetch_tensormap(const CUtensorMap* map) { ::emulator::prefetch_tensor_map(map); }
inline uint64_t createpolicy_evict_first() {
  return static_cast<uint64_t>(::emulator::CachePolicy::kEvictFirst);
}
inline uint64_t createpolicy_evict_normal() {
  return static_cast<uint64_t>(::emulator::CachePolicy::kEvictNormal);
}
inline void cp_async_bulk_tensor_load(uint32_t smem, const CUtensorMap* map, uint32_t barrier,
                                      int c0, int c1, int c2, uint64_t cache_policy) {
  ::emulator::tma_load(smem, map, barrier, {c0, c1, c2}, cache_policy);
}
inline void cp_async_bulk_tensor_load_multicast(uint32_t smem, const CUtensorMap* map,
                                                uint32_t barrier, int c0, int c1, int c2,
                                                uint16_t block_mask, uint64_t cache_policy) {
  ::emulator::tma_load_multicast(smem, map, barrier, {c0, c1, c2}, block_mask, cache_policy);
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

// --- registers

template <int kRegisters>
void setmaxnreg_inc() {
  ::emulator::setmaxnreg(kRegisters);
}
template <int kRegisters>
void setmaxnreg_dec() {
  ::emulator::setmaxnreg(kRegisters);
}

}  // namespace per_step_dense::ptx
