// What the shadow headers in include/ call: the runtime as a kernel sees it. Nothing heavy is
// included here, since every kernel and every mutant of one compiles it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cuda_runtime_api.h"

namespace emulator {

// --- coordinates. Constant for a thread, as the attribute tells the compiler: it may read them
// once.
[[gnu::const]] const uint3& thread_index();
[[gnu::const]] const uint3& block_index();
[[gnu::const]] const dim3& block_extent();
[[gnu::const]] const dim3& grid_extent();
[[gnu::const]] uint32_t cluster_rank();

// --- launching
constexpr unsigned kMostClusterBlocks = 8;  // what every GPU of sm_90 runs

struct LaunchRequest {
  dim3 grid;
  dim3 block;
  unsigned cluster;  // blocks, along x
  size_t smem_bytes;
  void (*run_thread)(void* arguments);  // the kernel's body for the current thread
  void* arguments;
  const void* kernel;
};
cudaError_t launch(const LaunchRequest& request);

// --- memory
// The block's shared memory. The first call of a block places it, aligned as asked and no better.
void* dynamic_shared_memory(size_t bytes, size_t alignment);
uint32_t shared_address(const void* pointer);
const unsigned char* address_to_read(uint32_t smem, size_t bytes);
template <class Value>
Value load_shared(uint32_t smem) {
  Value value;
  std::memcpy(&value, address_to_read(smem, sizeof value), sizeof value);
  return value;
}
void check_global_read(const void* address, size_t bytes);         // by the read-only path
void check_global_read_of_own(const void* address, size_t bytes);  // of what is then added to
void check_global_write(const void* address, size_t bytes);

// --- barriers
// `place` tells two __syncthreads() apart that different threads wait at.
void sync_threads(const char* place);
void named_barrier_sync(int barrier, int threads);
void named_barrier_arrive(int barrier, int threads);
void barrier_cluster_arrive();
void barrier_cluster_wait();

// --- warp collectives
enum class Shuffle : int { kIndex, kUp, kDown, kXor };
void sync_warp(uint32_t mask);
uint32_t shuffle(Shuffle mode, uint32_t mask, uint32_t value, int operand, int width);
uint32_t ballot(uint32_t mask, bool predicate);
bool elect_one(uint32_t mask);

// --- sm_80
void cp_async(uint32_t smem, const void* gmem, int bytes, int source_bytes);
void cp_async_commit_group();
void cp_async_wait_group(int pending);
void ldmatrix_x4(uint32_t* matrices, bool transposed, uint32_t smem_row);
void mma_m16n8k16_bf16(float* accum, const uint32_t* a, const uint32_t* b);
void mma_m16n8k16_f16(float* accum, const uint32_t* a, const uint32_t* b);
void mma_m16n8k8_tf32(float* accum, const uint32_t* a, const uint32_t* b);

// --- mbarrier
void mbarrier_init(uint32_t barrier, uint32_t arrivals);
void mbarrier_arrive(uint32_t barrier, uint32_t expected_bytes);
void mbarrier_arrive_cluster(uint32_t barrier, uint32_t rank);
bool mbarrier_try_wait_parity(uint32_t barrier, uint32_t parity);
void fence_mbarrier_init();
void fence_proxy_async();

// --- TMA, rank 3
struct TensorMap;
enum class CachePolicy : uint64_t {
  kEvictNormal = 0x1000000000000000,
  kEvictFirst = 0x12f0000000000000,
};
void prefetch_tensor_map(const TensorMap* map);
void tma_load(uint32_t smem, const TensorMap* map, uint32_t barrier, const int (&coordinate)[3],
              uint64_t cache_policy);
void tma_load_multicast(uint32_t smem, const TensorMap* map, uint32_t barrier,
                        const int (&coordinate)[3], uint16_t block_mask, uint64_t cache_policy);
void tma_store(const TensorMap* map, uint32_t smem, const int (&coordinate)[3]);
void bulk_commit_group();
void bulk_wait_group(int pending);

// --- wgmma
enum class WgmmaType { kFloat16, kBfloat16, kTfloat32 };
struct WgmmaShape {
  WgmmaType type;
  int n;
  bool a_mn_major;  // the instruction's trans-a
  bool b_mn_major;  // the instruction's trans-b
};
void wgmma_fence();
void wgmma(float* accum, const WgmmaShape& shape, uint64_t descriptor_a, uint64_t descriptor_b,
           bool accumulate);
// A is in registers, four of each thread.
void wgmma_of_registers(float* accum, const WgmmaShape& shape, const uint32_t* registers_a,
                        uint64_t descriptor_b, bool accumulate);
void wgmma_commit_group();
void wgmma_wait_group(int pending);
void setmaxnreg(int registers);

// --- tests of the emulator itself
// Fails the run, naming what was expected.
void expect(bool holds, const char* what);

}  // namespace emulator
