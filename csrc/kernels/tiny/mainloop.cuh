// A thread's sums over k.
#pragma once

#include "kernels/tiny/fragment.cuh"
#include "kernels/tiny/place.cuh"
#include "kernels/tiny/sums.cuh"

namespace per_step_dense::tiny {

template <class Scalar>
__device__ __forceinline__ const Scalar* element_at(const Operand& operand, int t, int row, int k) {
  return static_cast<const Scalar*>(operand.data) + t * operand.stride_t +
         row * operand.stride_row + k * operand.stride_k;
}

//   slice 0   [chunk]             [chunk]             [chunk]           one split's terms
//   slice 1          [chunk]             [chunk]             [chu]
//
// Slices take turns, so that the threads of a block read one stretch of memory together. The loads
// of several chunks are under way at a time: whole chunks are read without a branch.
template <class Config, Access kAccessA, Access kAccessB, bool kSumsColumns>
__device__ __forceinline__ void accumulate(const Item& item, const Place& place,
                                           Sums<Config>& sums) {
  using Scalar = typename Config::Scalar;
  // Elements are loaded term by term: lanes that share a sum then read neighbours along k.
  constexpr bool kByElements = kAccessA == Access::kElements || kAccessB == Access::kElements;
  constexpr int kChunk = kByElements ? 1 : Config::kChunk;
  [[maybe_unused]] constexpr int kUnroll =
      kByElements && Config::kColumns == 1 ? 4 : Config::kUnroll;
  constexpr int kChunksPerFold = Config::kTermsPerFold / kChunk;
  Fragment<Scalar, kRows, kChunk, kAccessA> a;
  Fragment<Scalar, Config::kColumns, kChunk, kAccessB> b;
  const Operand &operand_a = item.gemm.a, &operand_b = item.gemm.b;

  const int first_k = place.first_k + place.slice * kChunk;
  const int terms = place.terms - place.slice * kChunk;
  const Scalar* gmem_a = element_at<Scalar>(operand_a, place.t, place.m, first_k);
  const Scalar* gmem_b = element_at<Scalar>(operand_b, place.t, place.n, first_k);
  const int rows = place.m_end - place.m, columns = item.n - place.n;

  const int log2_slices = Config::kSliced ? item.log2_slices : 0;
  const int step = kChunk << log2_slices;
  int left = terms;
  while (left >= kChunk) {
    const int chunks = min(((left - kChunk) / kChunk >> log2_slices) + 1, kChunksPerFold);
#pragma unroll kUnroll
    for (int chunk = 0; chunk < chunks; ++chunk) {
      a.load(gmem_a, operand_a, rows);
      b.load(gmem_b, operand_b, columns);
      sums.add_products(a, b);
      if constexpr (kSumsColumns) sums.add_columns(b);
      gmem_a += step * operand_a.stride_k;
      gmem_b += step * operand_b.stride_k;
    }
    sums.fold();
    left -= chunks * step;
  }
  if (kChunk > 1 && left > 0) {
    a.load_elements(gmem_a, operand_a, rows, left);
    b.load_elements(gmem_b, operand_b, columns, left);
    sums.add_products(a, b);
    if constexpr (kSumsColumns) sums.add_columns(b);
    sums.fold();
  }
}

// The branches are uniform but for the last: a warp that holds the first group of rows and others
// runs its loop twice.
template <class Config>
__device__ __forceinline__ void accumulate(const Item& item, const Place& place,
                                           Sums<Config>& sums) {
  constexpr Access kElements = Access::kElements, kAlongK = Access::kAlongK,
                   kAlongRows = Access::kAlongRows;
  const bool sums_columns = item.gemm.column_sums.data && place.m == 0;
  switch (item.layout) {
    case Layout::kDots:
      return accumulate<Config, kAlongK, kAlongK, false>(item, place, sums);
    case Layout::kColumns:
      return accumulate<Config, kAlongK, kAlongRows, false>(item, place, sums);
    case Layout::kOuter:
      if (sums_columns) return accumulate<Config, kAlongRows, kAlongRows, true>(item, place, sums);
      return accumulate<Config, kAlongRows, kAlongRows, false>(item, place, sums);
    case Layout::kColumnsOnly:
      if (sums_columns) return accumulate<Config, kElements, kAlongRows, true>(item, place, sums);
      return accumulate<Config, kElements, kAlongRows, false>(item, place, sums);
    case Layout::kElements:
      // Rare, and never the single columns' layout: column sums are formed unasked.
      if constexpr (Config::kColumns > 1) {
        return accumulate<Config, kElements, kElements, true>(item, place, sums);
      }
  }
}

}  // namespace per_step_dense::tiny
