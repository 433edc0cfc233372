// The bias gradient: the columns of B's tiles, summed over k while the tiles lie in shared memory.
#pragma once

#include <type_traits>

#include "kernels/pack.cuh"
#include "kernels/sums.cuh"
#include "kernels/tiled/column_sums.cuh"

namespace per_step_dense::sm80 {

// What 16-bit results round off outweighs what plain sums do.
struct PlainSum {
  float sum = 0;

  __device__ __forceinline__ void add(float term) { sum += term; }
  __device__ __forceinline__ float total() const { return sum; }
};

// A thread has the columns of one 16-byte unit, and of the terms every kShares-th. B's tile is
// contiguous along its columns, as grad-weight's is.
template <class Config>
class ColumnSums {
  using Scalar = typename Config::Scalar;
  using Sum = std::conditional_t<sizeof(Scalar) == 2, PlainSum, CompensatedSum<float>>;
  static constexpr int kColumns = kVectorBytes / sizeof(Scalar);  // of a thread
  static constexpr int kUnits = Config::kBlockN / kColumns;
  static constexpr int kShares = Config::kThreads / kUnits;  // of a column
  using Unit = Pack<Scalar, kColumns>;

 public:
  template <class TileB>
  __device__ __forceinline__ void add(const TileB& b) {
    static_assert(TileB::kIsTransposed && Config::kBlockK % kShares == 0,
                  "or units lie elsewhere, or shares are not even");
    const unsigned column = threadIdx.x % kUnits * kColumns, share = threadIdx.x / kUnits;
#pragma unroll
    for (int k = 0; k < Config::kBlockK; k += kShares) {
      using Raw = typename Unit::Raw;
      const Unit unit = Unit::from_raw(*reinterpret_cast<const Raw*>(b.at(column, k + share)));
#pragma unroll
      for (int e = 0; e < kColumns; ++e) column_[e].add(to_accum(unit.elem[e]));
    }
  }

  // `smem` has room for kShares sums a column.
  __device__ __forceinline__ void store(const tiled::TiledGemm& tiled, const tiled::Coordinates& at,
                                        float* smem) const {
    const unsigned column = threadIdx.x % kUnits * kColumns, share = threadIdx.x / kUnits;
#pragma unroll
    for (int e = 0; e < kColumns; ++e) {
      smem[share * Config::kBlockN + column + e] = column_[e].total();
    }
    tiled::store_column_sums<Config, kShares>(tiled, at, smem);
  }

 private:
  Sum column_[kColumns];
};

}  // namespace per_step_dense::sm80
