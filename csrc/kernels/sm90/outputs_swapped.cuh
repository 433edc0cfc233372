// What becomes of 64 x 64 sums of products of swapped operands: rows are columns of the tile, and a
// panel of sums is that of 64 rows of it.
#pragma once

#include "kernels/output.cuh"
#include "kernels/sm90/accumulators.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class OutputsOfSwapped {
  static constexpr int kRowElems = Config::kRowElems;
  static constexpr int kElemsOfChunk = 16 / Config::kElementBytes;
  static_assert(Config::kBlocks == 1, "or a thread has more columns");

 public:
  __device__ __forceinline__ OutputsOfSwapped(SharedStorage<typename Config::Tile>& smem,
                                              int consumer)
      : smem_outputs_(smem.outputs[consumer]),
        smem_bias_(smem.bias[consumer]),
        first_column_(first_column<Config>(consumer)) {}

  __device__ __forceinline__ bool is_any_there(const ProductParams& params, const TilePlace& at,
                                               int panel) const {
    return at.m0 + panel * kRowsOfPanel < params.gemm.m && at.n0 + first_column_ < params.gemm.n;
  }

  __device__ __forceinline__ void add_bias(int, PanelSums& sums) const {
    const float bias[] = {smem_bias_[thread_.row], smem_bias_[thread_.row + 8]};
#pragma unroll
    for (int i = 0; i < kSumsOfPanel; ++i) sums[i] += bias[i / 2 % 2];
  }

  // As TMA swizzles: a row's 16-byte chunks are XORed with its number. A warp's stores of a sum lie
  // in different banks.
  __device__ __forceinline__ void write(int, int panel, const PanelSums& sums) const {
    const uint32_t column = thread_.row % kRowElems;
    unsigned char* const smem = smem_outputs_.panel[thread_.row / kRowElems][panel * kRowsOfPanel];
    const uint32_t word = column % kElemsOfChunk * Config::kElementBytes;
#pragma unroll
    for (int i = 0; i < kSumsOfPanel; ++i) {
      const uint32_t row = thread_.column + i % 2;  // and a multiple of 8
      const uint32_t chunk = (column + i / 2 % 2 * 8) / kElemsOfChunk ^ row;
      *reinterpret_cast<float*>(smem + (row + i / 4 * 8) * kRowBytes + chunk * 16 + word) = sums[i];
    }
  }

  __device__ __forceinline__ void store_parts(const ProductParams& params, const TilePlace& at, int,
                                              int panel, const PanelSums& sums) const {
    const Gemm& gemm = params.gemm;
    const int64_t m = at.m0 + panel * kRowsOfPanel + thread_.column;
    const int64_t n = at.n0 + first_column_ + thread_.row;
    float* const gmem = element_at<float>(gemm.c, at.t, m, n) + at.split * params.part_elems;
#pragma unroll
    for (int i = 0; i < kSumsOfPanel; ++i) {
      const int row = i / 4 * 8 + i % 2, column = i / 2 % 2 * 8;
      if (n + column >= gemm.n || m + row >= gemm.m) continue;
      ptx::st_global(gmem + row * gemm.c.stride_m + column, sums[i]);
    }
  }

 private:
  static constexpr int kRowsOfPanel = 8 * kPairsOfPanel;

  Outputs<typename Config::Tile>& smem_outputs_;
  const float (&smem_bias_)[Config::kConsumerColumns];
  int first_column_;
  ThreadPlace thread_;
};

}  // namespace per_step_dense::sm90
