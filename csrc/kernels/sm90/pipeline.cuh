// The ring of stages between the producer and the consumers.
//
// Both go round it in step. A stage is filled when its `full` barrier has all bytes, and may be
// filled again when all its readers have arrived at `empty`, in every block of the cluster.
#pragma once

#include "kernels/ptx_sm90.cuh"
#include "kernels/sm90/config.cuh"

namespace per_step_dense::sm90 {

__device__ __forceinline__ void wait(const uint64_t& mbarrier, uint32_t parity) {
  const uint32_t barrier = ptx::cvta_to_shared(&mbarrier);
  while (!ptx::mbarrier_try_wait_parity(barrier, parity)) {
  }
}

// Where a role stands in the ring: its stage, and the parity that changes with every round.
template <class Config>
struct RingPosition {
  uint32_t stage = 0, parity = 0;

  __device__ __forceinline__ void advance() {
    if (++stage < Config::kStages) return;
    stage = 0;
    parity ^= 1;
  }

  // By so many stages that another consumer reads.
  __device__ __forceinline__ void skip(uint32_t stages) {
    stage += stages;
    parity ^= stage / Config::kStages & 1;
    stage %= Config::kStages;
  }
};

// By each warp for itself, to every block that fetches for this one.
template <class Config>
__device__ __forceinline__ void release(SharedStorage<typename Config::Tile>& smem,
                                        uint32_t stage) {
  const uint32_t lane = threadIdx.x % 32, empty = ptx::cvta_to_shared(&smem.empty[stage]);
  if constexpr (Config::kCluster == 1) {
    if (lane == 0) ptx::mbarrier_arrive(empty);
  } else {
    if (lane < Config::kCluster) ptx::mbarrier_arrive_cluster(empty, lane);
  }
}

// By one thread.
template <class Config>
__device__ __forceinline__ void init_barriers(SharedStorage<typename Config::Tile>& smem) {
  for (int stage = 0; stage < Config::kStages; ++stage) {
    ptx::mbarrier_init(ptx::cvta_to_shared(&smem.full[stage]), 1);
    ptx::mbarrier_init(ptx::cvta_to_shared(&smem.empty[stage]), Config::kReaders);
  }
  ptx::fence_mbarrier_init();
}

// By every thread of the block, or of the cluster: what was written before is seen after it, and
// nobody has left.
template <class Config>
__device__ __forceinline__ void sync_cluster() {
  if constexpr (Config::kCluster > 1) {
    ptx::barrier_cluster_arrive();
    ptx::barrier_cluster_wait();
  } else {
    __syncthreads();
  }
}

}  // namespace per_step_dense::sm90
