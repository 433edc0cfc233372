// Behaviours of wgmma and of the registers that its warpgroups share out, see
// matrix_behaviours.cuh.
#pragma once

#include "kernels/matrix_behaviours.cuh"

namespace per_step_dense::example {

// Core matrices of 8 x 8 elements, 128 bytes each, lie one behind the other along k first.
struct WgmmaOperands {
  alignas(128) uint16_t a[64 * 16];
  alignas(128) uint16_t b[256 * 16];
};

constexpr uint32_t kCoreBytesAlongK = 128, kCoreBytesAlongMn = 256;

// Of element (mn, k). A core matrix has rows of one mn, or, transposed, of one k.
template <bool kTransposed>
__device__ __forceinline__ int core_index(int mn, int k) {
  const int row = kTransposed ? k % 8 : mn % 8;
  const int column = kTransposed ? mn % 8 : k % 8;
  return (mn / 8 * 2 + k / 8) * 64 + row * 8 + column;
}

__device__ __forceinline__ uint64_t core_descriptor(const uint16_t* operand) {
  const uint64_t start = ptx::cvta_to_shared(operand) >> 4;
  return start | uint64_t(kCoreBytesAlongK >> 4) << 16 | uint64_t(kCoreBytesAlongMn >> 4) << 32;
}

struct WgmmaOfF16 {
  static constexpr int kBits = 11;
  static __device__ uint16_t round(float value) { return __float2half_rn(value).bits; }
  template <int kN, bool kTransA, bool kTransB>
  static __device__ void multiply(float (&accum)[kN / 2], uint64_t a, uint64_t b) {
    ptx::wgmma_m64k16_f16<kN, kTransA, kTransB>(accum, a, b, true);
  }
};
struct WgmmaOfBf16 {
  static constexpr int kBits = 8;
  static __device__ uint16_t round(float value) { return __float2bfloat16_rn(value).bits; }
  template <int kN, bool kTransA, bool kTransB>
  static __device__ void multiply(float (&accum)[kN / 2], uint64_t a, uint64_t b) {
    ptx::wgmma_m64k16_bf16<kN, kTransA, kTransB>(accum, a, b, true);
  }
};

// One warpgroup, which adds a product to accumulators that are not zero.
template <class Type, int kN, bool kTransA, bool kTransB>
__global__ void check_wgmma(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  auto& smem = shared_storage<WgmmaOperands>();
  const auto value_a = [](int m, int k) { return float(shuffled(m * 16 + k, Type::kBits)); };
  const auto value_b = [](int n, int k) { return float(shuffled(n * 16 + k, 8)); };
  for (int k = 0; k < 16; ++k) {
    for (int m = threadIdx.x; m < 64; m += 128) {
      smem.a[core_index<kTransA>(m, k)] = Type::round(value_a(m, k));
    }
    for (int n = threadIdx.x; n < kN; n += 128) {
      smem.b[core_index<kTransB>(n, k)] = Type::round(value_b(n, k));
    }
  }
  ptx::fence_proxy_async();
  __syncthreads();

  const int first_m = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
  const int first_n = threadIdx.x % 4 * 2;
  const auto row = [&](int i) { return first_m + i / 2 % 2 * 8; };
  const auto column = [&](int i) { return first_n + i / 4 * 8 + i % 2; };
  float accum[kN / 2];
  for (int i = 0; i < kN / 2; ++i) accum[i] = element_c(row(i), column(i));
  ptx::fence_operand(accum);
  ptx::wgmma_fence();
  Type::template multiply<kN, kTransA, kTransB>(accum, core_descriptor(smem.a),
                                                core_descriptor(smem.b));
  ptx::wgmma_commit_group();
  ptx::wgmma_wait_group<0>();
  for (int i = 0; i < kN / 2; ++i) {
    float sum = element_c(row(i), column(i));
    for (int k = 0; k < 16; ++k) sum += value_a(row(i), k) * value_b(column(i), k);
    ::emulator::expect(accum[i] == sum, "accum + a b");
  }
}

// --- setmaxnreg

__global__ void setmaxnreg_in_one_warp(const BehaviourParams params) {
  if (threadIdx.x >= 32) return;
  copy_rows(params);
  ptx::setmaxnreg_dec<40>();
}
// 128 (40 + 232 + 232) registers are 64512, what there is 65536.
__global__ void registers_for_all(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  if (threadIdx.x < 128) {
    ptx::setmaxnreg_dec<40>();
  } else {
    ptx::setmaxnreg_inc<232>();
  }
}
__global__ void more_registers_than_there_are(const BehaviourParams params) {
  if (threadIdx.x < 32) copy_rows(params);
  if (threadIdx.x < 128) {
    ptx::setmaxnreg_dec<40>();
  } else {
    ptx::setmaxnreg_inc<240>();
  }
}

}  // namespace per_step_dense::example
