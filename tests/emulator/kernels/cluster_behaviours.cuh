// Behaviours of clusters: barriers, and what one block does to the shared memory of another.
#pragma once

#include "kernels/behaviours.cuh"

namespace per_step_dense::example {

// A box of the map from each of two blocks, and who waits for them.
struct ClusterStorage {
  alignas(128) uint16_t boxes[2][8][64];
  uint64_t full, empty;
};

constexpr uint32_t kBoxBytes = sizeof(uint16_t) * 8 * 64;
constexpr uint16_t kBothBlocks = 0b11;

struct ClusterBarriers {
  uint32_t full, empty;
};

__device__ __forceinline__ void sync_cluster() {
  ptx::barrier_cluster_arrive();
  ptx::barrier_cluster_wait();
}

__device__ __forceinline__ void wait_for(uint32_t barrier, uint32_t parity) {
  while (!ptx::mbarrier_try_wait_parity(barrier, parity)) {
  }
}

// `full` waits for the block's own producer, `empty` for the consumers of both blocks.
__device__ __forceinline__ ClusterBarriers init_cluster_barriers(ClusterStorage& smem) {
  const ClusterBarriers barriers{ptx::cvta_to_shared(&smem.full), ptx::cvta_to_shared(&smem.empty)};
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(barriers.full, 1);
    ptx::mbarrier_init(barriers.empty, 2);
    ptx::fence_mbarrier_init();
  }
  return barriers;
}

__device__ __forceinline__ void load_box(const BehaviourParams& params, ClusterStorage& smem,
                                         uint32_t full, int round, uint16_t block_mask) {
  const uint32_t rank = ptx::cluster_ctarank();
  ptx::cp_async_bulk_tensor_load_multicast(ptx::cvta_to_shared(smem.boxes[rank]), &params.boxes,
                                           full, 0, 8 * int(rank), round, block_mask,
                                           ptx::createpolicy_evict_first());
}

// --- two blocks, each of which loads half of what both need

constexpr int kRingRounds = 4;

__device__ __forceinline__ void produce_boxes(const BehaviourParams& params, ClusterStorage& smem,
                                              const ClusterBarriers& barriers) {
  for (int round = 0; round < kRingRounds; ++round) {
    wait_for(barriers.empty, round % 2 ^ 1);
    ptx::mbarrier_arrive_expect_tx(barriers.full, 2 * kBoxBytes);
    load_box(params, smem, barriers.full, round, kBothBlocks);
  }
}

__device__ __forceinline__ void consume_boxes(ClusterStorage& smem,
                                              const ClusterBarriers& barriers) {
  const int lane = threadIdx.x % 32;
  const uint16_t(*const values)[64] = smem.boxes[0];  // the second box lies behind the first
  for (int round = 0; round < kRingRounds; ++round) {
    wait_for(barriers.full, round % 2);
    for (int row = 0; row < 16; ++row) {
      ::emulator::expect(values[row][2 * lane] == (round * 16 + row) * 64 + 2 * lane,
                         "multicast brings both boxes to both blocks");
    }
    __syncwarp();
    if (lane < 2) ptx::mbarrier_arrive_cluster(barriers.empty, lane);
  }
}

__global__ void multicast_ring(const BehaviourParams params) {
  auto& smem = shared_storage<ClusterStorage>();
  if (threadIdx.x < 32 && blockIdx.x == 0) copy_rows(params);
  const ClusterBarriers barriers = init_cluster_barriers(smem);
  sync_cluster();  // or a peer would find no barriers
  if (threadIdx.x == 0) produce_boxes(params, smem, barriers);
  if (threadIdx.x >= 32) consume_boxes(smem, barriers);
  sync_cluster();  // or a peer would find no block
}

__global__ void load_overlapping_rows(const BehaviourParams params) {
  if (blockIdx.x == 0) copy_rows(params);
  auto& smem = shared_storage<ClusterStorage>();
  const ClusterBarriers barriers = init_cluster_barriers(smem);
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(barriers.full, kBoxBytes);
    ptx::cp_async_bulk_tensor_load(ptx::cvta_to_shared(smem.boxes[1]), &params.windows,
                                   barriers.full, 0, 8, 3, ptx::createpolicy_evict_normal());
  }
  wait_for(barriers.full, 0);
  for (int row = 0; row < 8; ++row) {
    ::emulator::expect(smem.boxes[1][row][threadIdx.x] == 16 * 3 + 8 * (8 + row) + int(threadIdx.x),
                       "a row of 64 begins every 8 numbers");
  }
}

__global__ void ranks_follow_blocks(const BehaviourParams params) {
  if (blockIdx.x == 0) copy_rows(params);
  ::emulator::expect(ptx::cluster_ctarank() == blockIdx.x % 2, "cluster_ctarank");
}
__global__ void exited_threads_leave_the_cluster(const BehaviourParams params) {
  if (blockIdx.x == 0) copy_rows(params);
  if (blockIdx.x == 1 && threadIdx.x % 2 == 1) return;
  sync_cluster();
}

// --- broken. Whoever is alone at the cluster's barrier waits for the others' exit.

__global__ void arrive_at_the_cluster_twice(const BehaviourParams) {
  ptx::barrier_cluster_arrive();
  ptx::barrier_cluster_arrive();
}
__global__ void wait_for_the_cluster_alone(const BehaviourParams) { ptx::barrier_cluster_wait(); }
__global__ void exit_without_waiting_for_the_cluster(const BehaviourParams) {
  ptx::barrier_cluster_arrive();
}
__global__ void one_thread_skips_the_cluster_barrier(const BehaviourParams) {
  auto& smem = shared_storage<ClusterStorage>();
  const ClusterBarriers barriers = init_cluster_barriers(smem);
  if (blockIdx.x == 1 && threadIdx.x == 0) wait_for(barriers.full, 0);
  sync_cluster();
}
__global__ void arrive_beyond_the_cluster(const BehaviourParams) {
  const ClusterBarriers barriers = init_cluster_barriers(shared_storage<ClusterStorage>());
  sync_cluster();
  ptx::mbarrier_arrive_cluster(barriers.empty, 2);
}
__global__ void arrive_at_an_exited_block(const BehaviourParams) {
  const ClusterBarriers barriers = init_cluster_barriers(shared_storage<ClusterStorage>());
  if (blockIdx.x == 1) return;
  sync_cluster();
  ptx::mbarrier_arrive_cluster(barriers.empty, 1);
}
__global__ void arrive_at_an_unpublished_barrier(const BehaviourParams) {
  auto& smem = shared_storage<ClusterStorage>();
  const uint32_t barrier = ptx::cvta_to_shared(&smem.empty);
  if (threadIdx.x == 0) ptx::mbarrier_init(barrier, 2);
  sync_cluster();
  ptx::mbarrier_arrive_cluster(barrier, 1 - blockIdx.x);
}

template <class LoadWith>
__device__ __forceinline__ void load_by_one_thread(LoadWith load) {
  auto& smem = shared_storage<ClusterStorage>();
  const ClusterBarriers barriers = init_cluster_barriers(smem);
  sync_cluster();
  if (threadIdx.x == 0) load(smem, barriers.full);
}
__global__ void multicast_to_nobody(const BehaviourParams params) {
  load_by_one_thread(
      [&](ClusterStorage& smem, uint32_t full) { load_box(params, smem, full, 0, 0); });
}
__global__ void multicast_beyond_the_cluster(const BehaviourParams params) {
  load_by_one_thread(
      [&](ClusterStorage& smem, uint32_t full) { load_box(params, smem, full, 0, 0b101); });
}
__global__ void multicast_to_an_exited_block(const BehaviourParams params) {
  if (blockIdx.x == 1) return;
  load_by_one_thread(
      [&](ClusterStorage& smem, uint32_t full) { load_box(params, smem, full, 0, kBothBlocks); });
}
__global__ void load_with_a_made_up_policy(const BehaviourParams params) {
  load_by_one_thread([&](ClusterStorage& smem, uint32_t full) {
    ptx::cp_async_bulk_tensor_load(ptx::cvta_to_shared(smem.boxes[0]), &params.boxes, full, 0, 0, 0,
                                   1);
  });
}
__global__ void announce_too_many_bytes(const BehaviourParams params) {
  load_by_one_thread([&](ClusterStorage& smem, uint32_t full) {
    ptx::mbarrier_arrive_expect_tx(full, 3 * kBoxBytes);
    load_box(params, smem, full, 0, kBothBlocks);
    wait_for(full, 0);
  });
  sync_cluster();
}

// --- where a tensor map may lie

__global__ void prefetch_a_map(const BehaviourParams params) {
  if (blockIdx.x == 0) copy_rows(params);
  ptx::prefetch_tensormap(&params.boxes);
}
__global__ void use_a_misaligned_map(const BehaviourParams params) {
  alignas(CUtensorMap) unsigned char bytes[sizeof(CUtensorMap) + 16];
  memcpy(bytes + 16, &params.boxes, sizeof params.boxes);
  ptx::prefetch_tensormap(reinterpret_cast<const CUtensorMap*>(opaque(bytes) + 16));
}
__global__ void use_a_map_in_shared_memory(const BehaviourParams params) {
  struct Storage {
    CUtensorMap map;
  };
  auto& smem = shared_storage<Storage>();
  if (threadIdx.x == 0) smem.map = params.boxes;
  __syncthreads();
  ptx::prefetch_tensormap(&smem.map);
}
__global__ void use_a_map_that_was_never_encoded(const BehaviourParams) {
  const CUtensorMap map{};
  ptx::prefetch_tensormap(&map);
}

}  // namespace per_step_dense::example
