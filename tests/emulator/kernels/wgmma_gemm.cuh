// A producer warpgroup, of which one thread works, feeds `kConsumers` warpgroups through a ring of
// stages. A consumer computes 64 x kColumns outputs of one step.
//
//   producer   wait empty[s] | expect bytes, TMA x and weight -> stage s, full[s] | next s
//   consumer   wait full[s]  | 4 x wgmma over stage s | wait | arrive empty[s]    | next s
//
//   x       map (I, T, B), box (64, 1, 64 * kConsumers): operand A, K-major
//   weight  map (O, I, T), box (64, 64, 1), one panel for each 64 columns: operand B, MN-major
//   y       map (O, T, B), box (64, 1, 64), stored from staged panels
//
// All boxes have rows of 128 bytes and the 128-byte swizzle.
#pragma once

#include "kernels/example_gemm.h"
#include "kernels/ptx_sm90.cuh"

namespace per_step_dense::example {

struct WgmmaParams {
  CUtensorMap x, weight, y;
  const __nv_bfloat16* bias;  // (T, O), or null
  int i, o;
  int tiles_m, tiles_n;
};

template <int kColumns_, int kConsumers_>
struct WgmmaConfig {
  static constexpr int kColumns = kColumns_, kConsumers = kConsumers_, kStages = 3;
  static constexpr int kBlockM = 64 * kConsumers, kBlockK = 64;
  static constexpr int kPanels = kColumns / 64;
  static constexpr uint32_t kPanelBytes = 64 * 128;  // 64 rows of one swizzle row each
  static constexpr uint32_t kXBytes = kPanelBytes * kConsumers;
  static constexpr uint32_t kStageBytes = kXBytes + kPanelBytes * kPanels;
  static constexpr uint32_t kOutputBytes = kPanelBytes * kPanels * kConsumers;
  static constexpr int kThreads = 128 * (1 + kConsumers);

  // setmaxnreg.inc waits until the registers it wants are free.
  static constexpr int kEntryRegisters = 65536 / kThreads / 8 * 8;
  static constexpr int kProducerRegisters = 40;
  static constexpr int kConsumerRegisters = kConsumers == 1 ? 216 : 232;
  static_assert(kProducerRegisters + kConsumers * kConsumerRegisters <=
                    kEntryRegisters * (1 + kConsumers),
                "or setmaxnreg.inc waits for ever");
};

// Aligned by hand, since the swizzle is a function of the address: see smem_base().
template <class Config>
struct WgmmaStorage {
  static constexpr uint32_t kAlignment = 1024;
  static constexpr uint32_t kOutput = Config::kStages * Config::kStageBytes;
  static constexpr uint32_t kFull = kOutput + Config::kOutputBytes;
  static constexpr uint32_t kEmpty = kFull + 8 * Config::kStages;
  static constexpr uint32_t kBytes = kEmpty + 8 * Config::kStages;

  unsigned char bytes[kBytes + kAlignment];
};

// The shared address, a multiple of 1024, that the offsets of WgmmaStorage count from.
__device__ __forceinline__ uint32_t smem_base(const void* storage) {
  const uint32_t address = ptx::cvta_to_shared(storage);
  return (address + 1023u) & ~1023u;
}

__device__ __forceinline__ void mbarrier_wait(uint32_t barrier, uint32_t parity) {
  while (!ptx::mbarrier_try_wait_parity(barrier, parity)) {
  }
}

// The matrix descriptor of the PTX ISA, with 128-byte swizzle.
__device__ __forceinline__ uint64_t descriptor(uint32_t smem, uint32_t leading_bytes,
                                               uint32_t stride_bytes) {
  constexpr uint64_t kSwizzle128 = 1;
  const auto field = [](uint32_t bytes) { return uint64_t((bytes & 0x3ffff) >> 4); };
  return field(smem) | field(leading_bytes) << 16 | field(stride_bytes) << 32 | kSwizzle128 << 62;
}

// Where a role stands in the ring: the stage, and the parity that flips with every lap.
template <class Config>
struct RingPosition {
  int stage = 0;
  uint32_t parity = 0;

  __device__ void advance() {
    if (++stage < Config::kStages) return;
    stage = 0;
    parity ^= 1;
  }
};

template <class Config>
__device__ __forceinline__ void init_barriers(uint32_t base) {
  using Storage = WgmmaStorage<Config>;
  for (int stage = 0; stage < Config::kStages; ++stage) {
    ptx::mbarrier_init(base + Storage::kFull + 8 * stage, 1);
    ptx::mbarrier_init(base + Storage::kEmpty + 8 * stage, Config::kConsumers);
  }
  ptx::fence_mbarrier_init();
}

template <class Config>
__device__ __forceinline__ void produce(const WgmmaParams& params, const TileOrigin& origin,
                                        uint32_t base, int k_tiles) {
  using Storage = WgmmaStorage<Config>;
  const uint64_t policy = ptx::createpolicy_evict_normal();
  RingPosition<Config> ring;
  for (int k_tile = 0; k_tile < k_tiles; ++k_tile, ring.advance()) {
    const uint32_t full = base + Storage::kFull + 8 * ring.stage;
    const uint32_t empty = base + Storage::kEmpty + 8 * ring.stage;
    const uint32_t smem_x = base + ring.stage * Config::kStageBytes;
    const uint32_t smem_weight = smem_x + Config::kXBytes;
    const int k0 = k_tile * Config::kBlockK;
    mbarrier_wait(empty, ring.parity ^ 1);  // the first lap finds every stage empty
    ptx::mbarrier_arrive_expect_tx(full, Config::kStageBytes);
    ptx::cp_async_bulk_tensor_load(smem_x, &params.x, full, k0, origin.t, origin.m0, policy);
#pragma unroll
    for (int panel = 0; panel < Config::kPanels; ++panel) {
      ptx::cp_async_bulk_tensor_load(smem_weight + panel * Config::kPanelBytes, &params.weight,
                                     full, origin.n0 + panel * 64, k0, origin.t, policy);
    }
  }
}

// accum += x tile @ weight tile, in four steps of k = 16.
template <class Config>
__device__ __forceinline__ void issue_wgmmas(uint32_t smem_x, uint32_t smem_weight, bool is_first,
                                             float (&accum)[Config::kColumns / 2]) {
#pragma unroll
  for (int step = 0; step < 4; ++step) {
    // A: 8 rows of 128 bytes on is SBO; a step of k is 32 bytes inside the swizzle row.
    const uint64_t a = descriptor(smem_x + step * 32, 16, 1024);
    // B: 64 columns on is LBO, one panel; 8 rows of k on is SBO; a step of k is 16 rows.
    const uint64_t b = descriptor(smem_weight + step * 2048, Config::kPanelBytes, 1024);
    ptx::wgmma_m64k16_bf16<Config::kColumns, false, true>(accum, a, b, !is_first || step > 0);
  }
  ptx::wgmma_commit_group();
}

template <class Config>
__device__ __forceinline__ void accumulate(uint32_t base, int consumer, int k_tiles,
                                           float (&accum)[Config::kColumns / 2]) {
  using Storage = WgmmaStorage<Config>;
  RingPosition<Config> ring;
  for (int k_tile = 0; k_tile < k_tiles; ++k_tile, ring.advance()) {
    const uint32_t full = base + Storage::kFull + 8 * ring.stage;
    const uint32_t empty = base + Storage::kEmpty + 8 * ring.stage;
    const uint32_t smem_x = base + ring.stage * Config::kStageBytes;
    mbarrier_wait(full, ring.parity);
    ptx::fence_operand(accum);
    ptx::wgmma_fence();
    issue_wgmmas<Config>(smem_x + consumer * Config::kPanelBytes, smem_x + Config::kXBytes,
                         k_tile == 0, accum);
    ptx::wgmma_wait_group<0>();
    ptx::fence_operand(accum);
    ptx::bar_sync(1 + consumer, 128);  // all four warps have read the stage
    if (threadIdx.x % 128 == 0) ptx::mbarrier_arrive(empty);
  }
}

// Adds the bias and puts the tile into swizzled panels, as the TMA store expects them.
template <class Config>
__device__ __forceinline__ void stage_outputs(const WgmmaParams& params, const TileOrigin& origin,
                                              unsigned char* smem_output,
                                              const float (&accum)[Config::kColumns / 2]) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
#pragma unroll
  for (int j = 0; j < Config::kColumns / 8; ++j) {
    const int column = j * 8 + lane % 4 * 2;
    float bias[2] = {0.f, 0.f};
    for (int e = 0; e < 2; ++e) {
      const int n = origin.n0 + column + e;
      if (params.bias == nullptr || n >= params.o) continue;
      bias[e] = __bfloat162float(ptx::ld_global_nc(&params.bias[origin.t * params.o + n]));
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp * 16 + lane / 4 + half * 8;
      const int chunk = column % 64 / 8 ^ (row & 7);
      const uint32_t offset =
          column / 64 * Config::kPanelBytes + row * 128 + (chunk << 4) + column % 8 * 2;
      *reinterpret_cast<__nv_bfloat162*>(smem_output + offset) = __floats2bfloat162_rn(
          accum[j * 4 + half * 2] + bias[0], accum[j * 4 + half * 2 + 1] + bias[1]);
    }
  }
}

template <class Config>
__device__ __forceinline__ void store_outputs(const WgmmaParams& params, const TileOrigin& origin,
                                              uint32_t smem_output, int consumer) {
#pragma unroll
  for (int panel = 0; panel < Config::kPanels; ++panel) {
    ptx::cp_async_bulk_tensor_store(&params.y, smem_output + panel * Config::kPanelBytes,
                                    origin.n0 + panel * 64, origin.t, origin.m0 + consumer * 64);
  }
  ptx::cp_async_bulk_commit_group();
  ptx::cp_async_bulk_wait_group_read<0>();
}

template <class Config>
__device__ __forceinline__ void consume(const WgmmaParams& params, const TileOrigin& origin,
                                        unsigned char* smem, uint32_t base, int k_tiles) {
  const int consumer = threadIdx.x / 128 - 1;
  const uint32_t output =
      WgmmaStorage<Config>::kOutput + consumer * Config::kPanels * Config::kPanelBytes;
  float accum[Config::kColumns / 2];
  accumulate<Config>(base, consumer, k_tiles, accum);
  stage_outputs<Config>(params, origin, smem + output, accum);
  ptx::fence_proxy_async();  // by every thread: each publishes what it wrote itself
  ptx::bar_sync(1 + consumer, 128);
  if (threadIdx.x % 128 == 0) store_outputs<Config>(params, origin, base + output, consumer);
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, 1)
    wgmma_gemm_kernel(const __grid_constant__ WgmmaParams params) {
  auto& storage = shared_storage<WgmmaStorage<Config>>();
  const uint32_t base = smem_base(storage.bytes);
  unsigned char* const smem = storage.bytes + (base - ptx::cvta_to_shared(storage.bytes));
  const int k_tiles = ceil_div(params.i, Config::kBlockK);
  const TileOrigin origin =
      tile_origin(blockIdx.x, params.tiles_m, params.tiles_n, Config::kBlockM, Config::kColumns);

  if (threadIdx.x == 0) init_barriers<Config>(base);
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx::setmaxnreg_dec<Config::kProducerRegisters>();
    if (threadIdx.x == 0) produce<Config>(params, origin, base, k_tiles);
  } else {
    ptx::setmaxnreg_inc<Config::kConsumerRegisters>();
    consume<Config>(params, origin, smem, base, k_tiles);
  }
}

}  // namespace per_step_dense::example
