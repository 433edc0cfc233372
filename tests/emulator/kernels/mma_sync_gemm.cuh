// A block of 4 warps, 2 x 2, computes 64 x 64 outputs of one step, a warp 32 x 32 of them. k comes
// in tiles of 32, two of them in shared memory:
//
//   load(0) | load(1) wait(0) barrier multiply(0) barrier | load(2) wait(1) barrier multiply(1) ...
#pragma once

#include "kernels/example_gemm.h"
#include "kernels/ptx.cuh"

namespace per_step_dense::example {

struct MmaSyncTile {
  static constexpr int kBlockM = 64, kBlockN = 64, kBlockK = 32;
  static constexpr int kThreads = 128;
  static constexpr int kStages = 2;
  static constexpr uint32_t kStageBytes = 64 * 32 * sizeof(__nv_bfloat16);  // of either operand
};

struct MmaSyncStorage {
  alignas(16) __nv_bfloat16 x[MmaSyncTile::kStages][64 * 32];       // [m][k]
  alignas(16) __nv_bfloat16 weight[MmaSyncTile::kStages][32 * 64];  // [k][n]
};

// Byte offsets of a 16-byte chunk. The XOR spreads the rows that one ldmatrix reads over all banks.
__device__ __forceinline__ uint32_t x_offset(int m, int chunk) {
  return uint32_t(m * 64 + ((chunk ^ ((m >> 1) & 3)) << 4));
}
__device__ __forceinline__ uint32_t weight_offset(int k, int chunk) {
  return uint32_t(k * 128 + ((chunk ^ (k & 7)) << 4));
}

// Issues the copies of one k-tile. Chunks outside the operands become zeros.
__device__ __forceinline__ void load_stage(const GemmProblem& problem, const TileOrigin& origin,
                                           int k0, uint32_t smem_x, uint32_t smem_weight) {
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int chunk = threadIdx.x + j * MmaSyncTile::kThreads;
    const int m = chunk / 4, m_chunk = chunk % 4;
    const bool x_inside = origin.m0 + m < problem.b && k0 + m_chunk * 8 < problem.i;
    const int64_t x_row = int64_t(origin.m0 + m) * problem.t + origin.t;
    const auto* gmem_x = x_inside ? problem.x + x_row * problem.i + k0 + m_chunk * 8 : problem.x;
    ptx::cp_async<16>(smem_x + x_offset(m, m_chunk), gmem_x, x_inside ? 16 : 0);

    const int k = chunk / 8, k_chunk = chunk % 8;
    const bool w_inside = k0 + k < problem.i && origin.n0 + k_chunk * 8 < problem.o;
    const int64_t w_row = int64_t(origin.t) * problem.i + k0 + k;
    const auto* gmem_weight =
        w_inside ? problem.weight + w_row * problem.o + origin.n0 + k_chunk * 8 : problem.weight;
    ptx::cp_async<16>(smem_weight + weight_offset(k, k_chunk), gmem_weight, w_inside ? 16 : 0);
  }
  ptx::cp_async_commit_group();
}

// Two fragments of n8: matrices (k0-7, n0-7), (k8-15, n0-7), (k0-7, n8-15), (k8-15, n8-15).
__device__ __forceinline__ void load_weight_fragments(uint32_t smem_weight, int k, int n, int lane,
                                                      uint32_t (&b)[2][2]) {
  const int k_row = k + lane % 8 + lane / 8 % 2 * 8;
  const int n_chunk = n / 8 + lane / 16;
  uint32_t fragments[4];
  ptx::ldmatrix_x4_trans(fragments, smem_weight + weight_offset(k_row, n_chunk));
  b[0][0] = fragments[0];
  b[0][1] = fragments[1];
  b[1][0] = fragments[2];
  b[1][1] = fragments[3];
}

__device__ __forceinline__ void multiply_stage(uint32_t smem_x, uint32_t smem_weight, int warp_m,
                                               int warp_n, float (&accum)[2][4][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < MmaSyncTile::kBlockK; k += 16) {
    uint32_t a[2][4], b[2][2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int m = warp_m + i * 16 + lane % 16;
      ptx::ldmatrix_x4(a[i], smem_x + x_offset(m, k / 8 + lane / 16));
      load_weight_fragments(smem_weight, k, warp_n + i * 16, lane, b[i]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) ptx::mma_m16n8k16_bf16(accum[i][j], a[i], b[j / 2][j % 2]);
    }
  }
}

__device__ __forceinline__ void store_outputs(const GemmProblem& problem, const TileOrigin& origin,
                                              int warp_m, int warp_n,
                                              const float (&accum)[2][4][4]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int m = origin.m0 + warp_m + i * 16 + lane / 4 + e / 2 * 8;
        const int n = origin.n0 + warp_n + j * 8 + lane % 4 * 2 + e % 2;
        if (m >= problem.b || n >= problem.o) continue;
        float value = accum[i][j][e];
        if (problem.bias) {
          value += __bfloat162float(ptx::ld_global_nc(&problem.bias[origin.t * problem.o + n]));
        }
        const int64_t row = int64_t(m) * problem.t + origin.t;
        ptx::st_global(&problem.y[row * problem.o + n], __float2bfloat16_rn(value));
      }
    }
  }
}

__global__ void __launch_bounds__(MmaSyncTile::kThreads)
    mma_sync_gemm_kernel(const __grid_constant__ GemmProblem problem) {
  using Tile = MmaSyncTile;
  auto& smem = shared_storage<MmaSyncStorage>();
  const uint32_t smem_x = ptx::cvta_to_shared(smem.x);
  const uint32_t smem_weight = ptx::cvta_to_shared(smem.weight);
  const int warp = threadIdx.x / 32;
  const int warp_m = warp / 2 * 32, warp_n = warp % 2 * 32;
  const TileOrigin origin =
      tile_origin(blockIdx.x, ceil_div(problem.b, Tile::kBlockM),
                  ceil_div(problem.o, Tile::kBlockN), Tile::kBlockM, Tile::kBlockN);

  float accum[2][4][4] = {};
  const int k_tiles = ceil_div(problem.i, Tile::kBlockK);
  load_stage(problem, origin, 0, smem_x, smem_weight);
  for (int k_tile = 0; k_tile < k_tiles; ++k_tile) {
    const uint32_t next = (k_tile + 1) % Tile::kStages * Tile::kStageBytes;
    const uint32_t stage = k_tile % Tile::kStages * Tile::kStageBytes;
    // Beyond the last tile this copies zeros only, and keeps the count of groups even.
    load_stage(problem, origin, (k_tile + 1) * Tile::kBlockK, smem_x + next, smem_weight + next);
    ptx::cp_async_wait_group<1>();
    __syncthreads();  // everyone's copies of this tile have landed
    multiply_stage(smem_x + stage, smem_weight + stage, warp_m, warp_n, accum);
    __syncthreads();  // nobody reads this tile any more
  }
  ptx::cp_async_wait_group<0>();
  store_outputs(problem, origin, warp_m, warp_n, accum);
}

}  // namespace per_step_dense::example
