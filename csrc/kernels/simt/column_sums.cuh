// The bias gradient: the columns of B's tiles, summed over k while the tiles lie in shared memory.
#pragma once

#include "kernels/sums.cuh"
#include "kernels/tiled/column_sums.cuh"

namespace per_step_dense::simt {

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

  // `smem` has room for one sum a thread and column.
  __device__ __forceinline__ void store(const tiled::TiledGemm& tiled, const tiled::Coordinates& at,
                                        Accum* smem) const {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) smem[threadIdx.x + j * kThreads] = column_[j].total();
    tiled::store_column_sums<Config, kShares>(tiled, at, smem);
  }

 private:
  CompensatedSum<Accum> column_[kColumns];
};

}  // namespace per_step_dense::simt
