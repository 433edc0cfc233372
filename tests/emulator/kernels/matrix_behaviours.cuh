// Behaviours of ldmatrix and mma.sync. Every element of an operand is another whole number, and all
// sums are exact, so that any element in a wrong place gives a wrong result.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/behaviours.cuh"

namespace per_step_dense::example {

// All of -2^(bits - 1) .. 2^(bits - 1) - 1, as far as there are elements, in no simple order.
__device__ __forceinline__ int shuffled(int index, int bits) {
  return index * 2531 % (1 << bits) - (1 << (bits - 1));
}

// --- ldmatrix

struct MatrixStorage {
  alignas(16) uint16_t matrices[4][8][8];
};

template <bool kTransposed>
__device__ __forceinline__ void check_ldmatrix(const BehaviourParams& params) {
  copy_rows(params);
  auto& smem = shared_storage<MatrixStorage>().matrices;
  const int lane = threadIdx.x;
  for (int column = 0; column < 8; ++column) {
    smem[lane / 8][lane % 8][column] = static_cast<uint16_t>(lane * 8 + column);
  }
  __syncwarp();
  uint32_t matrices[4];
  const uint32_t row = ptx::cvta_to_shared(smem[lane / 8][lane % 8]);
  kTransposed ? ptx::ldmatrix_x4_trans(matrices, row) : ptx::ldmatrix_x4(matrices, row);
  for (int i = 0; i < 4; ++i) {
    const int major = lane / 4, minor = lane % 4 * 2;
    const unsigned low = kTransposed ? smem[i][minor][major] : smem[i][major][minor];
    const unsigned high = kTransposed ? smem[i][minor + 1][major] : smem[i][major][minor + 1];
    ::emulator::expect(matrices[i] == (low | high << 16), "ldmatrix's layout");
  }
}
__global__ void ldmatrix_loads_rows(const BehaviourParams params) { check_ldmatrix<false>(params); }
__global__ void ldmatrix_loads_columns(const BehaviourParams params) {
  check_ldmatrix<true>(params);
}
__global__ void ldmatrix_of_misaligned_rows(const BehaviourParams) {
  auto& smem = shared_storage<BehaviourStorage>();
  uint32_t matrices[4];
  ptx::ldmatrix_x4(matrices, ptx::cvta_to_shared(smem.values) + 8 * threadIdx.x);
}
__global__ void ldmatrix_outside_shared(const BehaviourParams) {
  auto& smem = shared_storage<BehaviourStorage>();
  uint32_t matrices[4];
  ptx::ldmatrix_x4_trans(matrices, ptx::cvta_to_shared(smem.values) + 16 * (threadIdx.x + 33));
}

// --- mma.sync: the registers of the lane in group g, thread t, as the ISA names them

struct MmaRegisters {
  float accum[4];
  uint32_t a[4], b[2];
};

// Element (m, k) of A, element (k, n) of B, for operands of `bits` significant bits.
__device__ __forceinline__ float element_a(int m, int k, int depth, int bits) {
  return static_cast<float>(shuffled(m * depth + k, bits));
}
__device__ __forceinline__ float element_b(int k, int n) {
  return static_cast<float>(shuffled(k * 8 + n, 8));
}
__device__ __forceinline__ float element_c(int m, int n) { return static_cast<float>(m * 8 + n); }

__device__ __forceinline__ uint32_t pack(__nv_bfloat16 low, __nv_bfloat16 high) {
  return low.bits | uint32_t{high.bits} << 16;
}
__device__ __forceinline__ uint32_t pack(__half low, __half high) {
  return low.bits | uint32_t{high.bits} << 16;
}

template <class Round>
__device__ __forceinline__ void fill_16_bit_operands(MmaRegisters& registers, int bits,
                                                     Round round) {
  const int g = threadIdx.x / 4, k = threadIdx.x % 4 * 2;
  const auto pair_a = [&](int row, int column) {
    return pack(round(element_a(row, column, 16, bits)),
                round(element_a(row, column + 1, 16, bits)));
  };
  const auto pair_b = [&](int row) {
    return pack(round(element_b(row, g)), round(element_b(row + 1, g)));
  };
  registers.a[0] = pair_a(g, k);
  registers.a[1] = pair_a(g + 8, k);
  registers.a[2] = pair_a(g, k + 8);
  registers.a[3] = pair_a(g + 8, k + 8);
  registers.b[0] = pair_b(k);
  registers.b[1] = pair_b(k + 8);
}

// Slightly smaller than what it must be rounded to: cut instead, it would give the value below.
__device__ __forceinline__ uint32_t rounded_to_tf32(float value) {
  return ptx::cvt_rna_tf32(value * (1 - 0x1p-13f));
}

__device__ __forceinline__ void fill_tf32_operands(MmaRegisters& registers) {
  const int g = threadIdx.x / 4, k = threadIdx.x % 4;
  registers.a[0] = rounded_to_tf32(element_a(g, k, 8, 11));
  registers.a[1] = rounded_to_tf32(element_a(g + 8, k, 8, 11));
  registers.a[2] = rounded_to_tf32(element_a(g, k + 4, 8, 11));
  registers.a[3] = rounded_to_tf32(element_a(g + 8, k + 4, 8, 11));
  registers.b[0] = rounded_to_tf32(element_b(k, g));
  registers.b[1] = rounded_to_tf32(element_b(k + 4, g));
}

// accum[0] and accum[1] are neighbours in row g, the others in row g + 8.
template <class Visit>
__device__ __forceinline__ void for_each_accumulator(MmaRegisters& registers, Visit visit) {
  const int g = threadIdx.x / 4, n = threadIdx.x % 4 * 2;
  visit(registers.accum[0], g, n);
  visit(registers.accum[1], g, n + 1);
  visit(registers.accum[2], g + 8, n);
  visit(registers.accum[3], g + 8, n + 1);
}

__device__ __forceinline__ void start_accumulators(MmaRegisters& registers) {
  for_each_accumulator(registers, [](float& accum, int m, int n) { accum = element_c(m, n); });
}

__device__ __forceinline__ void expect_product(MmaRegisters& registers, int depth, int bits) {
  for_each_accumulator(registers, [&](float accum, int m, int n) {
    float sum = element_c(m, n);
    for (int k = 0; k < depth; ++k) sum += element_a(m, k, depth, bits) * element_b(k, n);
    ::emulator::expect(accum == sum, "accum + a b");
  });
}

__global__ void mma_of_bf16(const BehaviourParams params) {
  copy_rows(params);
  MmaRegisters registers;
  start_accumulators(registers);
  fill_16_bit_operands(registers, 8, __float2bfloat16_rn);
  ptx::mma_m16n8k16_bf16(registers.accum, registers.a, registers.b);
  expect_product(registers, 16, 8);
}
__global__ void mma_of_f16(const BehaviourParams params) {
  copy_rows(params);
  MmaRegisters registers;
  start_accumulators(registers);
  fill_16_bit_operands(registers, 11, __float2half_rn);
  ptx::mma_m16n8k16_f16(registers.accum, registers.a, registers.b);
  expect_product(registers, 16, 11);
}
__global__ void mma_of_tf32(const BehaviourParams params) {
  copy_rows(params);
  MmaRegisters registers;
  start_accumulators(registers);
  fill_tf32_operands(registers);
  ptx::mma_m16n8k8_tf32(registers.accum, registers.a, registers.b);
  expect_product(registers, 8, 11);
}

// Just below 1 + 2^-10, which is the first value after 1.
__global__ void mma_cuts_operands_to_tf32(const BehaviourParams params) {
  copy_rows(params);
  const float value = 1 + 0x1p-10f - 0x1p-23f;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  float accum[4] = {};
  const uint32_t a[4] = {bits, bits, bits, bits}, b[2] = {bits, bits};
  ptx::mma_m16n8k8_tf32(accum, a, b);
  ::emulator::expect(accum[0] == 8 && accum[3] == 8, "tensor cores cut operands to tf32");
}

// --- mma.sync, broken

__global__ void one_lane_skips_mma_of_f16(const BehaviourParams) {
  MmaRegisters registers{};
  if (threadIdx.x != 5) ptx::mma_m16n8k16_f16(registers.accum, registers.a, registers.b);
}
__global__ void one_lane_skips_mma_of_tf32(const BehaviourParams) {
  MmaRegisters registers{};
  if (threadIdx.x != 5) ptx::mma_m16n8k8_tf32(registers.accum, registers.a, registers.b);
}
__global__ void lanes_multiply_different_types(const BehaviourParams) {
  MmaRegisters registers{};
  if (threadIdx.x < 16) {
    ptx::mma_m16n8k16_f16(registers.accum, registers.a, registers.b);
  } else {
    ptx::mma_m16n8k16_bf16(registers.accum, registers.a, registers.b);
  }
}

}  // namespace per_step_dense::example
