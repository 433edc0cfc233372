// The bias gradient: the columns of B's tiles, summed over k while the tiles lie in shared memory.
#pragma once

#include "kernels/output.cuh"
#include "kernels/sums.cuh"
#include "kernels/tiled/scheduler.cuh"

namespace per_step_dense::tiled {

template <class Config>
__device__ __forceinline__ void store_column_sum(const TiledGemm& tiled, const Coordinates& at,
                                                 int64_t n, typename Config::Accum sum) {
  using Accum = typename Config::Accum;
  using Scalar = typename Config::Scalar;
  const Vector& to = tiled.gemm.column_sums;
  const int64_t offset = at.t * to.stride_t + n * to.stride_n;
  if (tiled.is_split) {
    ptx::st_global(static_cast<Accum*>(to.data) + at.split * tiled.column_sum_part_elems + offset,
                   sum);
  } else {
    ptx::st_global(static_cast<Scalar*>(to.data) + offset, from_accum<Scalar>(sum));
  }
}

// Threads n, n + kBlockN, ... share column n, each taking its own rows; or a thread has columns n,
// n + kThreads, ...
template <class Config>
class ColumnSums {
  using Accum = typename Config::Accum;
  static constexpr int kBlockN = Config::kBlockN, kThreads = Config::kThreads;
  static constexpr int kColumns = kBlockN <= kThreads ? 1 : kBlockN / kThreads;  // of a thread
  static constexpr int kShares = kBlockN <= kThreads ? kThreads / kBlockN : 1;   // of a column
  static_assert(kThreads % kBlockN == 0 || kBlockN % kThreads == 0,
                "or threads do not share the columns of B evenly");

 public:
  template <class TileB>
  __device__ __forceinline__ void add(const TileB& b) {
    const int share = threadIdx.x / kBlockN, first = threadIdx.x % kBlockN;
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      Accum sum = 0;
#pragma unroll
      for (int k = 0; k < Config::kBlockK; k += kShares) {
        sum += to_accum(*b.at(first + j * kThreads, k + share));
      }
      column_[j].add(sum);
    }
  }

  // Adds up the shares of each column in their order: the result does not depend on timing.
  // `smem` has room for one sum a thread and column.
  __device__ __forceinline__ void store(const TiledGemm& tiled, const Coordinates& at,
                                        Accum* smem) const {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) smem[threadIdx.x + j * kThreads] = column_[j].total();
    __syncthreads();
    for (int column = threadIdx.x; column < kBlockN; column += kThreads) {
      if (at.n0 + column >= tiled.gemm.n) break;
      Accum sum = 0;
#pragma unroll
      for (int i = 0; i < kShares; ++i) sum += smem[i * kBlockN + column];
      store_column_sum<Config>(tiled, at, at.n0 + column, sum);
    }
    __syncthreads();  // the next tile of this block writes smem
  }

 private:
  CompensatedSum<Accum> column_[kColumns];
};

}  // namespace per_step_dense::tiled
