// What becomes of a finished tile: through shared memory, so that rows are stored by whole vectors;
// bias, activation, what is added to, stores.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/sm80/mainloop.cuh"
#include "kernels/store_group.cuh"

namespace per_step_dense::sm80 {

// The tile's sums in shared memory, row by row in units of 8 columns. Units, and the halves of a
// unit, change places from row to row: a fragment's pairs of columns, of 4 rows at a time, and the
// vectors that threads read, of 8 units at a time, lie in different banks.
template <class Config>
class StagedSums {
  static constexpr int kUnit = kStoreElems, kHalf = kUnit / 2;
  static_assert(kUnit == 8 && Config::kBlockN % (4 * kUnit) == 0, "or banks are shared");

 public:
  __device__ __forceinline__ explicit StagedSums(SharedStorage<Config>& smem)
      : sums_(reinterpret_cast<float*>(&smem.stage)) {}

  __device__ __forceinline__ void write(const Accumulators<Config>& accum,
                                        const WarpPlace<Config>& warp) {
    const unsigned lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < Config::kFragmentsM; ++i) {
#pragma unroll
      for (int j = 0; j < Config::kFragmentsN; ++j) {
        const float(&sums)[4] = accum.fragment[i][j];
        const unsigned row = warp.m + i * 16 + lane / 4, column = warp.n + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at(row, column)) = make_float2(sums[0], sums[1]);
        *reinterpret_cast<float2*>(at(row + 8, column)) = make_float2(sums[2], sums[3]);
      }
    }
  }

  // The unit that begins at a column.
  __device__ __forceinline__ void read(unsigned row, unsigned column,
                                       float (&values)[kUnit]) const {
#pragma unroll
    for (int half = 0; half < kUnit; half += kHalf) {
      const float4 sums = *reinterpret_cast<const float4*>(at(row, column + half));
      values[half] = sums.x;
      values[half + 1] = sums.y;
      values[half + 2] = sums.z;
      values[half + 3] = sums.w;
    }
  }

 private:
  __device__ __forceinline__ float* at(unsigned row, unsigned column) const {
    const unsigned unit = column / kUnit, half = column / kHalf % 2;
    const unsigned own_unit = unit ^ (row % 4), own_half = half ^ ((unit / 4 ^ row) & 1);
    return sums_ + row * Config::kBlockN + own_unit * kUnit + own_half * kHalf + column % kHalf;
  }

  float* sums_;
};

// Out is what the outputs are stored as: float or the operands' type. A thread stores a unit of 8
// columns of every kRowsAtATime-th row.
template <class Out, class Config>
class TileStore {
  using Scalar = typename Config::Scalar;
  static constexpr int kUnit = kStoreElems;
  static constexpr int kUnitsN = Config::kBlockN / kUnit;
  static constexpr int kRowsAtATime = Config::kThreads / kUnitsN;
  static_assert(Config::kThreads % kUnitsN == 0 && Config::kBlockM % kRowsAtATime == 0,
                "or threads do not share the rows evenly");

 public:
  __device__ __forceinline__ TileStore(const TiledGemm& tiled, const Coordinates& at)
      : tiled_(tiled), at_(at), column_(threadIdx.x % kUnitsN * kUnit) {}

  // Row by row, so that the code of a row is there once, which the activations make long.
  __device__ __forceinline__ void store(const StagedSums<Config>& sums) const {
    const int64_t n = at_.n0 + column_;
    if (n >= tiled_.gemm.n) return;
    float bias[kUnit];
    read_bias(n, bias);
#pragma unroll 1
    for (unsigned row = threadIdx.x / kUnitsN; row < Config::kBlockM; row += kRowsAtATime) {
      if (int(row) >= at_.rows) break;
      float values[kUnit];
      sums.read(row, column_, values);
#pragma unroll
      for (int e = 0; e < kUnit; ++e) values[e] += bias[e];
      store_row(at_.m0 + row, n, values);
    }
  }

 private:
  __device__ __forceinline__ void read_bias(int64_t n, float (&bias)[kUnit]) const {
#pragma unroll
    for (int e = 0; e < kUnit; ++e) {
      const bool has_bias = Config::Product::kActivates && n + e < tiled_.gemm.n;
      bias[e] = has_bias ? bias_at<Scalar>(tiled_.gemm, at_.t, n + e) : 0;
    }
  }

  __device__ __forceinline__ Out* element_of(const Matrix& matrix, int64_t m, int64_t n) const {
    return element_at<Out>(matrix, at_.t, m, n) + at_.split * tiled_.part_elems;
  }

  __device__ __forceinline__ void store_row(int64_t m, int64_t n, float (&values)[kUnit]) const {
    const Gemm& gemm = tiled_.gemm;
    const int64_t count = gemm.n - n;
    if constexpr (Config::Product::kActivates) {
      if (gemm.z.data) {
        store_group(element_of(gemm.z, m, n), gemm.z.stride_n, values, count,
                    tiled_.stores_groups_of_z);
      }
#pragma unroll
      for (int e = 0; e < kUnit; ++e) {
        values[e] = activate<Scalar>(gemm.activation, values[e]);
      }
    }
    Out* const c = element_of(gemm.c, m, n);
    if constexpr (Config::Product::kSumsRows) {
      if (gemm.accumulation != Accumulation::kOverwrite) {
        add_stored_group(c, gemm.c.stride_n, values, count, tiled_.stores_groups_of_c);
      }
    }
    store_group(c, gemm.c.stride_n, values, count, tiled_.stores_groups_of_c);
  }

  const TiledGemm& tiled_;
  const Coordinates& at_;
  unsigned column_;
};

}  // namespace per_step_dense::sm80
