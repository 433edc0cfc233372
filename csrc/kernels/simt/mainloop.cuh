// The sum over k of one output tile.
#pragma once

#include "kernels/simt/column_sums.cuh"
#include "kernels/simt/config.cuh"
#include "kernels/tiled/stages.cuh"

namespace per_step_dense::simt {

using tiled::Coordinates;
using tiled::TiledGemm;

template <class Config>
struct Accumulators {
  using Accum = typename Config::Accum;
  using Tile = Accum[Config::kThreadM][Config::kThreadN];

  Tile recent, total;  // without folds, the total is not used

  // Two levels: `recent` has the last terms, `total` those before.
  __device__ __forceinline__ void fold() {
    if constexpr (Config::kFolds) {
#pragma unroll
      for (int i = 0; i < Config::kThreadM; ++i) {
#pragma unroll
        for (int j = 0; j < Config::kThreadN; ++j) {
          total[i][j] += recent[i][j];
          recent[i][j] = 0;
        }
      }
    }
  }

  __device__ __forceinline__ Tile& results() {
    if constexpr (Config::kFolds) return total;
    return recent;
  }

  // Row 1 becomes row 0, and so on.
  __device__ __forceinline__ void drop_row() {
    auto& rows = results();
#pragma unroll
    for (int i = 0; i + 1 < Config::kThreadM; ++i) {
#pragma unroll
      for (int j = 0; j < Config::kThreadN; ++j) rows[i][j] = rows[i + 1][j];
    }
  }
};

// What a thread holds of an operand's tile for kTermsPerRead terms: all of them where the tile is
// contiguous along k, one at a time where it is along the rows.
template <class Config, int kThreadRows, class Tile, Major kMajor>
class Fragment {
  using Scalar = typename Config::Scalar;
  static constexpr int kGroup = min_of(Config::kVectorElems, kThreadRows);
  static constexpr int kElems = kMajor == Major::kK ? Config::kTermsPerRead : kGroup;
  static constexpr int kPacks = kMajor == Major::kK ? kThreadRows : kThreadRows / kGroup;
  using Pack = ::per_step_dense::Pack<Scalar, kElems>;

 public:
  // Reads the pack that begins at this element of the tile.
  __device__ __forceinline__ void read(int pack, const Scalar* smem) {
    packs_[pack] = Pack::from_raw(*reinterpret_cast<const typename Pack::Raw*>(smem));
  }

  // The i-th of the thread's rows at the k-th of the terms.
  __device__ __forceinline__ typename Config::Accum at(int i, int k) const {
    return kMajor == Major::kK ? to_accum(packs_[i].elem[k])
                               : to_accum(packs_[i / kGroup].elem[i % kGroup]);
  }

  // row_of(i): where the thread's i-th row is in the tile.
  template <class RowOf>
  __device__ __forceinline__ void read_terms(const Tile& tile, int k, RowOf row_of) {
    if constexpr (kMajor == Major::kK) {
#pragma unroll
      for (int i = 0; i < kPacks; ++i) read(i, tile.at(row_of(i), k));
    }
  }
  template <class RowOf>
  __device__ __forceinline__ void read_term(const Tile& tile, int k, RowOf row_of) {
    if constexpr (kMajor == Major::kRow) {
#pragma unroll
      for (int p = 0; p < kPacks; ++p) read(p, tile.at(row_of(p * kGroup), k));
    }
  }

 private:
  Pack packs_[kPacks];
};

template <class Config, class Product>
__device__ __forceinline__ void multiply(const Stage<Config, Product>& stage,
                                         const ThreadOutputs<Config>& outputs,
                                         Accumulators<Config>& accum) {
  constexpr Major kMajorA = Product::kMajorA, kMajorB = Product::kMajorB;
  const auto row = [&](int i) { return outputs.template row<kMajorA>(i); };
  const auto column = [&](int j) { return outputs.column(j); };
#pragma unroll(Config::kUnrolledReads)
  for (int k0 = 0; k0 < Config::kBlockK; k0 += Config::kTermsPerRead) {
    Fragment<Config, Config::kThreadM, decltype(stage.a), kMajorA> a;
    Fragment<Config, Config::kThreadN, decltype(stage.b), kMajorB> b;
    a.read_terms(stage.a, k0, row);
    b.read_terms(stage.b, k0, column);
#pragma unroll
    for (int k = 0; k < Config::kTermsPerRead; ++k) {
      a.read_term(stage.a, k0 + k, row);
      b.read_term(stage.b, k0 + k, column);
#pragma unroll
      for (int i = 0; i < Config::kThreadM; ++i) {
#pragma unroll
        for (int j = 0; j < Config::kThreadN; ++j) accum.recent[i][j] += a.at(i, k) * b.at(j, k);
      }
    }
  }
}

template <class Config, class Product>
__device__ __forceinline__ void mainloop(const TiledGemm& tiled, const Coordinates& at,
                                         const ThreadOutputs<Config>& outputs,
                                         SharedStorage<Config, Product>& smem,
                                         Accumulators<Config>& accum, ColumnSums<Config>& columns) {
  int terms_to_fold = kTermsPerFold;
  tiled::for_each_stage<Config>(tiled, at, smem.stage, [&](const Stage<Config, Product>& stage) {
    if (tiled.gemm.m > 0) multiply(stage, outputs, accum);
    if (at.sums_columns) columns.add(stage.b);
    terms_to_fold -= Config::kBlockK;
    if (terms_to_fold == 0) {
      accum.fold();
      terms_to_fold = kTermsPerFold;
    }
  });
  accum.fold();
}

}  // namespace per_step_dense::simt
