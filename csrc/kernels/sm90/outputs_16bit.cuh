// What becomes of 64 x 64 sums of 16-bit products: rows are those of the tile.
#pragma once

#include "kernels/output.cuh"
#include "kernels/sm90/accumulators.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

__device__ __forceinline__ uint32_t packed(TypeTag<__half>, float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t bits;
  __builtin_memcpy(&bits, &pair, sizeof bits);
  return bits;
}
__device__ __forceinline__ uint32_t packed(TypeTag<__nv_bfloat16>, float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  __builtin_memcpy(&bits, &pair, sizeof bits);
  return bits;
}

template <class Config>
class OutputsOf16Bits {
  using Scalar = typename Config::Scalar;
  static constexpr int kRowElems = Config::kRowElems;

 public:
  __device__ __forceinline__ OutputsOf16Bits(SharedStorage<typename Config::Tile>& smem,
                                             int consumer)
      : smem_outputs_(smem.outputs[consumer]),
        smem_bias_(smem.bias[consumer]),
        first_row_(first_row<Config>(consumer)) {}

  __device__ __forceinline__ bool is_any_there(const ProductParams& params, const TilePlace& at,
                                               int panel) const {
    return at.n0 + panel * kRowElems < params.gemm.n;
  }

  __device__ __forceinline__ void add_bias(int panel, PanelSums& sums) const {
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
      const float* const smem = smem_bias_ + panel * kRowElems + pair * 8 + thread_.column;
      const float2 bias = *reinterpret_cast<const float2*>(smem);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        sums[pair * 4 + row * 2] += bias.x;
        sums[pair * 4 + row * 2 + 1] += bias.y;
      }
    }
  }

  // As TMA swizzles: a row's 16-byte chunks are XORed with its number. A warp's stores of a pair
  // lie in different banks.
  __device__ __forceinline__ void write(int block, int panel, const PanelSums& sums) const {
    unsigned char* const smem = smem_outputs_.panel[panel][block * kWgmmaRows + thread_.row];
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
      const uint32_t chunk = pair ^ thread_.row % 8;
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        *reinterpret_cast<uint32_t*>(smem + row * 8 * kRowBytes + chunk * 16 +
                                     thread_.column * Config::kElementBytes) =
            packed(TypeTag<Scalar>{}, sums[pair * 4 + row * 2], sums[pair * 4 + row * 2 + 1]);
      }
    }
  }

  // N is a multiple of 8, so that pairs lie wholly inside or outside.
  __device__ __forceinline__ void store_parts(const ProductParams& params, const TilePlace& at,
                                              int block, int panel, const PanelSums& sums) const {
    const Gemm& gemm = params.gemm;
    const int64_t m = at.m0 + first_row_ + block * kWgmmaRows + thread_.row;
    const int64_t n = at.n0 + panel * kRowElems + thread_.column;
    float* const gmem = element_at<float>(gemm.c, at.t, m, n) + at.split * params.part_elems;
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        if (n + pair * 8 >= gemm.n || m + row * 8 >= gemm.m) continue;
        ptx::st_global(reinterpret_cast<float2*>(gmem + row * 8 * gemm.c.stride_m + pair * 8),
                       make_float2(sums[pair * 4 + row * 2], sums[pair * 4 + row * 2 + 1]));
      }
    }
  }

 private:
  Outputs<typename Config::Tile>& smem_outputs_;
  const float (&smem_bias_)[Config::kConsumerColumns];
  int first_row_;
  ThreadPlace thread_;
};

}  // namespace per_step_dense::sm90
