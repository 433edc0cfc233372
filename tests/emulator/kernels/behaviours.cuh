// Small kernels, each showing one behaviour of the emulator: either it must run without complaint,
// or it must be stopped for one reason.
#pragma once

#include "kernels/ptx_sm90.cuh"

namespace per_step_dense::example {

struct BehaviourParams {
  const float* input;
  float* output;
  float* workspace;
  CUtensorMap map;              // rows of 18
  CUtensorMap boxes;            // 4 of 16 rows of 64 whole numbers from 0 on, in boxes of 8 rows
  CUtensorMap windows;          // the same numbers: rows that begin 8 apart, and 16 apart 4 times
  CUtensorMap floats;           // 2 rows of 32 floats
  CUtensorMap floats_to_round;  // the same, to tf32
};

// 256 floats, at the end of which the guard begins.
struct BehaviourStorage {
  alignas(16) float values[256];
};

// --- global memory. `input` is 8 rows of 4, 6 apart; `output` 8 rows of 4, 6 apart,
// `workspace` 32.

__device__ __forceinline__ int row_offset() { return threadIdx.x / 4 * 6 + threadIdx.x % 4; }

__global__ void copy_rows(const BehaviourParams params) {
  ptx::st_global(params.output + row_offset(), ptx::ld_global_nc(params.input + row_offset()));
}
__global__ void read_past_end(const BehaviourParams params) {
  ptx::ld_global_nc(params.input + row_offset() + 6);
}
__global__ void read_before_start(const BehaviourParams params) {
  ptx::ld_global_nc(params.input + row_offset() - 1);
}
__global__ void read_gap(const BehaviourParams params) {
  ptx::ld_global_nc(params.input + threadIdx.x);
}
__global__ void read_output(const BehaviourParams params) {
  ptx::ld_global_nc(params.output + row_offset());
}
__global__ void write_input(const BehaviourParams params) {
  ptx::st_global(const_cast<float*>(params.input) + row_offset(), 0.f);
}
__global__ void write_gap(const BehaviourParams params) {
  ptx::st_global(params.output + threadIdx.x, 0.f);
}
__global__ void write_twice(const BehaviourParams params) {
  ptx::st_global(params.output + threadIdx.x / 2 % 4, 0.f);
}
__global__ void leave_one_unwritten(const BehaviourParams params) {
  if (threadIdx.x != 17) ptx::st_global(params.output + row_offset(), 0.f);
}
__global__ void read_fresh_workspace(const BehaviourParams params) {
  copy_rows(params);
  ptx::ld_global_nc(params.workspace + threadIdx.x);
}
__global__ void write_workspace_twice(const BehaviourParams params) {
  copy_rows(params);
  ptx::st_global(params.workspace + threadIdx.x, 1.f);
  ptx::st_global(params.workspace + threadIdx.x, 2.f);
}
__global__ void read_what_the_launch_writes(const BehaviourParams params) {
  ptx::st_global(params.workspace + threadIdx.x, 1.f);
  ptx::ld_global_nc(params.workspace + threadIdx.x);
}
__global__ void read_misaligned_vector(const BehaviourParams params) {
  ptx::ld_global_nc(reinterpret_cast<const float2*>(params.input + 1));
}

// --- shared memory

// A pointer of which the compiler does not know where it came from: what follows is undefined in
// C++, and it would say so or make use of it.
template <class T>
T* opaque(T* pointer) {
  asm volatile("" : "+r"(pointer));
  return pointer;
}

__global__ void shared_starts_poisoned(const BehaviourParams params) {
  copy_rows(params);
  const float value = shared_storage<BehaviourStorage>().values[threadIdx.x];
  ::emulator::expect(value != value, "shared memory starts as NaN");
}
__global__ void locals_start_poisoned(const BehaviourParams params) {
  copy_rows(params);
  uint32_t values[4];
  ::emulator::expect(opaque(values)[threadIdx.x % 4] != 0, "locals do not start as zero");
}
__global__ void write_shared_past_end(const BehaviourParams params) {
  copy_rows(params);
  auto& smem = shared_storage<BehaviourStorage>();
  opaque(smem.values)[256 + threadIdx.x] = 0.f;
}
__global__ void write_shared_before_start(const BehaviourParams params) {
  copy_rows(params);
  auto& smem = shared_storage<BehaviourStorage>();
  opaque(smem.values)[-1 - static_cast<int>(threadIdx.x)] = 0.f;
}
__global__ void copy_outside_shared(const BehaviourParams params) {
  auto& smem = shared_storage<BehaviourStorage>();
  ptx::cp_async<4>(ptx::cvta_to_shared(smem.values) + sizeof smem.values, params.input);
}
__global__ void declare_too_much_shared(const BehaviourParams) {
  struct TooLarge {
    float values[257];
  };
  shared_storage<TooLarge>();
}

// --- barriers

__global__ void barrier_nobody_else_reaches(const BehaviourParams) {
  if (threadIdx.x < 32) ptx::bar_sync(3, 64);
}
__global__ void mbarrier_nobody_arrives_at(const BehaviourParams) {
  auto& smem = shared_storage<BehaviourStorage>();
  const uint32_t barrier = ptx::cvta_to_shared(smem.values);
  if (threadIdx.x == 0) ptx::mbarrier_init(barrier, 2);
  __syncthreads();
  if (threadIdx.x == 0) ptx::mbarrier_arrive(barrier);
  while (!ptx::mbarrier_try_wait_parity(barrier, 0)) {
  }
}
__global__ void two_different_syncthreads(const BehaviourParams) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void exited_threads_do_not_count(const BehaviourParams params) {
  if (threadIdx.x >= 32) return;
  __syncthreads();
  copy_rows(params);
}
// Warp 1 fills, arrives and goes on; warp 0 waits. And the other way round.
__global__ void producer_arrives_consumer_syncs(const BehaviourParams params) {
  auto& smem = shared_storage<BehaviourStorage>();
  const int lane = threadIdx.x % 32;
  if (threadIdx.x >= 32) {
    for (int round = 0; round < 4; ++round) {
      ptx::bar_sync(2, 64);
      smem.values[lane] = static_cast<float>(100 * round + lane);
      ptx::bar_arrive(1, 64);
    }
    return;
  }
  copy_rows(params);
  for (int round = 0; round < 4; ++round) {
    ptx::bar_arrive(2, 64);
    ptx::bar_sync(1, 64);
    const int other = 31 - lane;
    ::emulator::expect(smem.values[other] == static_cast<float>(100 * round + other),
                       "bar.sync waits for bar.arrive");
  }
}
__global__ void counts_of_a_barrier_differ(const BehaviourParams) {
  ptx::bar_sync(1, threadIdx.x < 32 ? 64 : 96);
}

// --- the warp

__global__ void shuffles(const BehaviourParams params) {
  copy_rows(params);
  const int lane = threadIdx.x % 32;
  const unsigned all = 0xffffffffu;
  using ::emulator::expect;
  expect(__shfl_sync(all, lane * 10, 7) == 70, "shfl.idx");
  expect(__shfl_sync(all, lane * 10, 3, 8) == (lane / 8 * 8 + 3) * 10, "shfl.idx of width 8");
  expect(__shfl_xor_sync(all, lane, 16) == (lane ^ 16), "shfl.bfly");
  expect(__shfl_up_sync(all, lane, 2) == (lane < 2 ? lane : lane - 2), "shfl.up");
  expect(__shfl_down_sync(all, lane, 5) == (lane > 26 ? lane : lane + 5), "shfl.down");
  expect(__shfl_down_sync(all, lane, 1, 4) == (lane % 4 == 3 ? lane : lane + 1),
         "shfl.down of width 4");
  expect(__shfl_xor_sync(all, 0.5f * lane, 1) == 0.5f * (lane ^ 1), "shfl of a float");
  expect(__shfl_xor_sync(all, 1.0 + lane * 1e-12, 2) == 1.0 + (lane ^ 2) * 1e-12,
         "shfl of a double");
  expect(__ballot_sync(all, lane % 3 == 0) == 0x49249249u, "vote.ballot");
  expect(__any_sync(all, lane == 31) && !__all_sync(all, lane == 31), "vote.any, vote.all");
}
__global__ void half_warps_meet_apart(const BehaviourParams params) {
  copy_rows(params);
  const int lane = threadIdx.x % 32;
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  ::emulator::expect(__shfl_xor_sync(half, lane, 1) == (lane ^ 1), "shfl in half a warp");
  if (lane < 16) __syncwarp(0x0000ffffu);
  __syncwarp();
}
__global__ void one_lane_is_elected(const BehaviourParams params) {
  copy_rows(params);
  const unsigned votes = __ballot_sync(0xffffffffu, ptx::elect_sync());
  ::emulator::expect(votes != 0 && (votes & (votes - 1)) == 0, "elect.sync elects one lane");
}
__global__ void lanes_execute_different_instructions(const BehaviourParams) {
  if (threadIdx.x % 32 < 16) {
    __syncwarp();
  } else {
    __shfl_sync(0xffffffffu, 0, 0);
  }
}
__global__ void shuffle_from_an_absent_lane(const BehaviourParams) {
  if (threadIdx.x % 32 < 16) __shfl_sync(0x0000ffffu, 0, 20);
}
__global__ void one_lane_skips_the_warp_barrier(const BehaviourParams) {
  if (threadIdx.x != 5) __syncwarp();
}

// --- engines

__global__ void copies_of_every_size(const BehaviourParams params) {
  copy_rows(params);
  auto& smem = shared_storage<BehaviourStorage>();
  const uint32_t base = ptx::cvta_to_shared(smem.values);
  if (threadIdx.x != 0) return;
  ptx::cp_async<4>(base, params.input);
  ptx::cp_async<8>(base + 8, params.input, 4);
  ptx::cp_async<16>(base + 16, params.input);
  ptx::cp_async<16>(base + 32, params.input, 0);
  ptx::cp_async_commit_group();
  ptx::cp_async_wait_group<0>();
  const float first = ptx::ld_global_nc(params.input);
  ::emulator::expect(smem.values[0] == first, "4 bytes");
  ::emulator::expect(smem.values[2] == first && smem.values[3] == 0, "8 bytes, 4 of them zeros");
  ::emulator::expect(smem.values[7] == ptx::ld_global_nc(params.input + 3), "16 bytes");
  ::emulator::expect(smem.values[8] == 0 && smem.values[11] == 0, "16 bytes of zeros");
}
__global__ void copy_from_the_gap(const BehaviourParams params) {
  auto& smem = shared_storage<BehaviourStorage>();
  ptx::cp_async<8>(ptx::cvta_to_shared(smem.values), params.input + 4);
}
__global__ void exit_with_a_copy_in_flight(const BehaviourParams params) {
  auto& smem = shared_storage<BehaviourStorage>();
  copy_rows(params);
  ptx::cp_async<4>(ptx::cvta_to_shared(smem.values), params.input);
  ptx::cp_async_commit_group();
}
// The map's rows end 4 bytes into a chunk; a store overwrites the chunk.
__global__ void store_beyond_the_inner_extent(const BehaviourParams params) {
  auto& smem = shared_storage<BehaviourStorage>();
  if (threadIdx.x != 0) return;
  const uint32_t base = (ptx::cvta_to_shared(smem.values) + 127u) & ~127u;
  ptx::cp_async_bulk_tensor_store(&params.map, base, 0, 0, 0);
  ptx::cp_async_bulk_commit_group();
  ptx::cp_async_bulk_wait_group_read<0>();
}

// --- what only the race detector sees: results are right whatever the order

__global__ void race_without_consequence(const BehaviourParams params) {
  copy_rows(params);
  shared_storage<BehaviourStorage>().values[0] = 1.f;
}

}  // namespace per_step_dense::example
