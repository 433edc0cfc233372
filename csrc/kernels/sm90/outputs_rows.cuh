// What becomes of 64 x 64 sums whose rows are those of the tile.
#pragma once

#include "kernels/output.cuh"
#include "kernels/sm90/accumulators.cuh"
#include "kernels/sm90/tile_walk.cuh"
#include "kernels/store_group.cuh"

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
class OutputsOfRows {
  using Scalar = typename Config::Scalar;
  static constexpr int kRowElems = Config::kRowElems;
  static constexpr int kPanelColumns = 8 * kPairsOfPanel;  // one or two rows of outputs

 public:
  __device__ __forceinline__ OutputsOfRows(SharedStorage<typename Config::Tile>& smem, int consumer)
      : smem_outputs_(smem.outputs[consumer]),
        smem_bias_(smem.bias[consumer]),
        first_row_(first_row<Config>(consumer)) {}

  __device__ __forceinline__ bool is_any_there(const ProductParams& params, const TilePlace& at,
                                               int panel) const {
    return at.n0 + panel * kPanelColumns < params.gemm.n;
  }

  __device__ __forceinline__ void add_bias(int panel, PanelSums& sums) const {
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
      const float* const smem = smem_bias_ + panel * kPanelColumns + pair * 8 + thread_.column;
      const float2 bias = *reinterpret_cast<const float2*>(smem);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        sums[pair * 4 + row * 2] += bias.x;
        sums[pair * 4 + row * 2 + 1] += bias.y;
      }
    }
  }

  // As TMA swizzles: a row's 16-byte chunks are XORed with its number.
  __device__ __forceinline__ void write(int block, int panel, const PanelSums& sums) const {
    if constexpr (Config::kElementBytes == 2) {
      write_of_16_bits(block, panel, sums);
    } else {
      write_floats(block, panel, sums);
    }
  }

  __device__ __forceinline__ void store_parts(const ProductParams& params, const TilePlace& at,
                                              int block, int panel, const PanelSums& sums) const {
    store_pairs<float>(params, at, block, panel, sums, [](float*, float(&)[2]) {});
  }

  // To what is there, of type Out.
  template <class Out>
  __device__ __forceinline__ void add(const ProductParams& params, const TilePlace& at, int block,
                                      int panel, const PanelSums& sums) const {
    store_pairs<Out>(params, at, block, panel, sums, [&](const Out* gmem, float(&pair)[2]) {
      add_stored_group(gmem, params.gemm.c.stride_n, pair, 2, params.stores_pairs);
    });
  }

 private:
  // Straight from registers, after visit(where it goes, pair). N is a multiple of 4, so that pairs
  // lie wholly inside or outside.
  template <class Out, class Visit>
  __device__ __forceinline__ void store_pairs(const ProductParams& params, const TilePlace& at,
                                              int block, int panel, const PanelSums& sums,
                                              Visit&& visit) const {
    const Gemm& gemm = params.gemm;
    const int64_t m = at.m0 + first_row_ + block * kWgmmaRows + thread_.row;
    const int64_t n = at.n0 + panel * kPanelColumns + thread_.column;
    Out* const first = element_at<Out>(gemm.c, at.t, m, n) + at.split * params.part_elems;
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        if (n + pair * 8 >= gemm.n || m + row * 8 >= gemm.m) continue;
        Out* const gmem = first + row * 8 * gemm.c.stride_m + pair * 8 * gemm.c.stride_n;
        float values[] = {sums[pair * 4 + row * 2], sums[pair * 4 + row * 2 + 1]};
        visit(gmem, values);
        store_group(gmem, gemm.c.stride_n, values, 2, params.stores_pairs);
      }
    }
  }

  // A warp's stores of a pair lie in different banks.
  __device__ __forceinline__ void write_of_16_bits(int block, int panel,
                                                   const PanelSums& sums) const {
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

  // A pair of columns takes two chunks: so that a warp's stores lie in different banks here too,
  // odd rows go through the pairs in another order.
  __device__ __forceinline__ void write_floats(int block, int panel, const PanelSums& sums) const {
    constexpr int kElemsOfChunk = 16 / sizeof(float), kPairsOfRow = kRowElems / 8;
    constexpr int kOther = 2;  // XORed with a pair
    const bool is_odd = thread_.row % 2;
    const uint32_t own =
        thread_.row % 8 ^ thread_.column / kElemsOfChunk ^ (is_odd ? kOther * 2 : 0);
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
      const uint32_t chunk = pair % kPairsOfRow * 2 ^ own;
      unsigned char* const smem =
          smem_outputs_.panel[panel * 2 + pair / kPairsOfRow][block * kWgmmaRows + thread_.row] +
          chunk * 16 + thread_.column % kElemsOfChunk * sizeof(float);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const float* const in_order = sums + pair * 4 + row * 2;
        const float* const other = sums + (pair ^ kOther) * 4 + row * 2;
        *reinterpret_cast<float2*>(smem + row * 8 * kRowBytes) =
            is_odd ? make_float2(other[0], other[1]) : make_float2(in_order[0], in_order[1]);
      }
    }
  }

  Outputs<typename Config::Tile>& smem_outputs_;
  const float (&smem_bias_)[Config::kConsumerColumns];
  int first_row_;
  ThreadPlace thread_;
};

}  // namespace per_step_dense::sm90
