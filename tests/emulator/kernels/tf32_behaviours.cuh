// Behaviours of what products in tf32 by wgmma are made of, see matrix_behaviours.cuh: A in
// registers or in shared memory, elements of 4 bytes, and reads of what TMA fills.
#pragma once

#include "kernels/wgmma_behaviours.cuh"

namespace per_step_dense::example {

// --- wgmma. Core matrices of 8 x 4 elements, 128 bytes each, lie one behind the other along k.

template <int kN>
struct Tf32Operands {
  alignas(128) float a[64 * 8], b[kN * 8];
};

__device__ __forceinline__ float tf32_a(int m, int k) { return float(shuffled(m * 8 + k, 11)); }
__device__ __forceinline__ float tf32_b(int n, int k) { return float(shuffled(n * 8 + k, 8)); }

// By one warpgroup, which waits for its stores.
template <int kElems, class Value>
__device__ __forceinline__ uint64_t store_operand(float (&smem)[kElems], Value&& value) {
  for (int mn = threadIdx.x; mn < kElems / 8; mn += 128) {
    for (int k = 0; k < 8; ++k) smem[(mn / 8 * 2 + k / 4) * 32 + mn % 8 * 4 + k % 4] = value(mn, k);
  }
  ptx::fence_proxy_async();
  __syncthreads();
  constexpr uint64_t kAlongK = 128, kAlongMn = 256;
  return ptx::cvta_to_shared(smem) >> 4 | kAlongK >> 4 << 16 | kAlongMn >> 4 << 32;
}
template <int kN>
__device__ __forceinline__ uint64_t store_a(Tf32Operands<kN>& smem) {
  return store_operand(smem.a, tf32_a);
}
template <int kN>
__device__ __forceinline__ uint64_t store_b(Tf32Operands<kN>& smem) {
  return store_operand(smem.b, tf32_b);
}

__device__ __forceinline__ void fill_a(uint32_t (&a)[4]) {
  const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, k = threadIdx.x % 4;
  for (int i = 0; i < 4; ++i) a[i] = rounded_to_tf32(tf32_a(row + i % 2 * 8, k + i / 2 * 4));
}

// multiply(accum) adds the product.
template <int kN, class Multiply>
__device__ __forceinline__ void check_wgmma_of_tf32(Multiply&& multiply) {
  const int first_m = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, first_n = threadIdx.x % 4 * 2;
  const auto row = [&](int i) { return first_m + i / 2 % 2 * 8; };
  const auto column = [&](int i) { return first_n + i / 4 * 8 + i % 2; };
  float accum[kN / 2];
  for (int i = 0; i < kN / 2; ++i) accum[i] = element_c(row(i), column(i));
  ptx::fence_operand(accum);
  ptx::wgmma_fence();
  multiply(accum);
  ptx::wgmma_commit_group();
  ptx::wgmma_wait_group<0>();
  for (int i = 0; i < kN / 2; ++i) {
    float sum = element_c(row(i), column(i));
    for (int k = 0; k < 8; ++k) sum += tf32_a(row(i), k) * tf32_b(column(i), k);
    ::emulator::expect(accum[i] == sum, "accum + a b");
  }
}

template <int kN>
__global__ void wgmma_of_tf32(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  uint32_t a[4];
  fill_a(a);
  ptx::fence_operand(a);
  const uint64_t b = store_b(shared_storage<Tf32Operands<kN>>());
  check_wgmma_of_tf32<kN>(
      [&](float(&accum)[kN / 2]) { ptx::wgmma_m64k8_tf32<kN>(accum, a, b, true); });
}

template <int kN>
__global__ void wgmma_of_tf32_in_shared_memory(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  auto& smem = shared_storage<Tf32Operands<kN>>();
  const uint64_t a = store_a(smem), b = store_b(smem);
  check_wgmma_of_tf32<kN>(
      [&](float(&accum)[kN / 2]) { ptx::wgmma_m64k8_tf32<kN>(accum, a, b, true); });
}

// Just below 1 + 2^-10, which is the first value after 1.
__global__ void wgmma_cuts_operands_to_tf32(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  const float value = 1 + 0x1p-10f - 0x1p-23f;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t registers[4] = {bits, bits, bits, bits};
  auto& smem = shared_storage<Tf32Operands<8>>();
  const auto everywhere = [=](int, int) { return value; };
  const uint64_t a = store_operand(smem.a, everywhere), b = store_operand(smem.b, everywhere);
  float accum[4] = {}, second[4] = {};
  ptx::wgmma_fence();
  ptx::wgmma_m64k8_tf32<8>(accum, registers, b, false);
  ptx::wgmma_m64k8_tf32<8>(second, a, b, false);
  ptx::wgmma_commit_group();
  ptx::wgmma_wait_group<0>();
  for (const float* sums : {accum, second})
    ::emulator::expect(sums[0] == 8 && sums[3] == 8, "tensor cores cut operands to tf32");
}

__global__ void wgmma_of_registers_without_a_fence(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  const uint64_t b = store_b(shared_storage<Tf32Operands<8>>());
  uint32_t a[4];
  fill_a(a);
  float accum[4] = {}, second[4] = {};
  ptx::wgmma_fence();
  ptx::wgmma_m64k8_tf32<8>(accum, a, b, true);
  ptx::wgmma_commit_group();
  ptx::wgmma_m64k8_tf32<8>(second, a, b, true);
  ptx::wgmma_commit_group();
  ptx::wgmma_wait_group<1>();
  ptx::wgmma_m64k8_tf32<8>(second, a, b, true);
}

__global__ void write_a_while_a_wgmma_has_it(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  const uint64_t b = store_b(shared_storage<Tf32Operands<8>>());
  uint32_t a[4];
  fill_a(a);
  float accum[4] = {};
  ptx::wgmma_fence();
  ptx::wgmma_m64k8_tf32<8>(accum, a, b, true);
  ptx::wgmma_commit_group();
  if (threadIdx.x == 5) a[2] ^= 1;
  ptx::wgmma_wait_group<0>();
}

// --- TMA of floats

struct FloatStorage {
  alignas(1024) float boxes[2][2][32];
  uint64_t full;
};

// By every thread of a warp.
__device__ __forceinline__ void load_floats(FloatStorage& smem, int box, const CUtensorMap& map,
                                            uint32_t parity) {
  const uint32_t full = ptx::cvta_to_shared(&smem.full);
  if (threadIdx.x == 0) {
    ptx::mbarrier_arrive_expect_tx(full, sizeof smem.boxes[box]);
    ptx::cp_async_bulk_tensor_load(ptx::cvta_to_shared(smem.boxes[box]), &map, full, 0, 0, 0,
                                   ptx::createpolicy_evict_normal());
  }
  while (!ptx::mbarrier_try_wait_parity(full, parity)) {
  }
  __syncwarp();  // or somebody would miss the phase
}

__device__ __forceinline__ FloatStorage& start_loading_floats() {
  auto& smem = shared_storage<FloatStorage>();
  if (threadIdx.x == 0) {
    ptx::mbarrier_init(ptx::cvta_to_shared(&smem.full), 1);
    ptx::fence_mbarrier_init();
  }
  __syncwarp();
  return smem;
}

// The input is 1 + 2^-12 column; tf32 has every fourth value, and of the ties the greater.
__global__ void load_rounds_to_tf32(const BehaviourParams params) {
  copy_rows(params);
  FloatStorage& smem = start_loading_floats();
  load_floats(smem, 0, params.floats, 0);
  load_floats(smem, 1, params.floats_to_round, 1);
  const int column = threadIdx.x;
  for (int row = 0; row < 2; ++row) {
    ::emulator::expect(smem.boxes[0][row][column] == 1 + float(column) * 0x1p-12f, "as it is");
    ::emulator::expect(smem.boxes[1][row][column] == 1 + float((column + 2) / 4) * 0x1p-10f,
                       "rounded to nearest");
  }
}

template <bool kFences>
__global__ void refill_what_was_read(const BehaviourParams params) {
  copy_rows(params);
  FloatStorage& smem = start_loading_floats();
  load_floats(smem, 0, params.floats, 0);
  ptx::ld_shared(ptx::cvta_to_shared(&smem.boxes[0][1][threadIdx.x]));
  if (kFences || threadIdx.x != 5) ptx::fence_proxy_async();
  __syncwarp();
  load_floats(smem, 0, params.floats_to_round, 1);
}

}  // namespace per_step_dense::example
