// What a thread adds up.
#pragma once

#include "kernels/tiny/config.cuh"

namespace per_step_dense::tiny {

// In float32 recent terms have a sum of their own, which fold() adds to the total. float64 has
// digits to spare, and no registers.
template <class Accum>
struct FoldedSum {
  Accum recent = 0, total = 0;

  __device__ __forceinline__ void add_product(Accum a, Accum b) { recent += a * b; }
  __device__ __forceinline__ void fold() {
    total += recent;
    recent = 0;
  }
};

template <>
struct FoldedSum<double> {
  double total = 0;

  __device__ __forceinline__ void add_product(double a, double b) { total += a * b; }
  __device__ __forceinline__ void fold() {}
};

// The finished sums: of a thread, of all slices after join_slices().
template <class Config>
struct Totals {
  using Accum = typename Config::Accum;
  Accum product[kRows][Config::kColumns];
  Accum column[Config::kColumns];  // of b over k
};

template <class Config>
struct Sums {
  using Accum = typename Config::Accum;
  FoldedSum<Accum> product[kRows][Config::kColumns];
  CompensatedSum<Accum> column[Config::kColumns];

  template <class FragmentA, class FragmentB>
  __device__ __forceinline__ void add_products(const FragmentA& a, const FragmentB& b) {
#pragma unroll
    for (int k = 0; k < FragmentB::kTerms; ++k) {
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
#pragma unroll
        for (int j = 0; j < Config::kColumns; ++j) {
          product[row][j].add_product(to_accum(a.at(row, k)), to_accum(b.at(j, k)));
        }
      }
    }
  }

  // A chunk's few terms are added plainly, and what that rounds off is of no account.
  template <class FragmentB>
  __device__ __forceinline__ void add_columns(const FragmentB& b) {
#pragma unroll
    for (int j = 0; j < Config::kColumns; ++j) {
      Accum sum = to_accum(b.at(j, 0));
#pragma unroll
      for (int k = 1; k < FragmentB::kTerms; ++k) sum += to_accum(b.at(j, k));
      column[j].add(sum);
    }
  }

  __device__ __forceinline__ void fold() {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int j = 0; j < Config::kColumns; ++j) product[row][j].fold();
    }
  }

  __device__ __forceinline__ Totals<Config> totals() const {
    Totals<Config> totals;
#pragma unroll
    for (int j = 0; j < Config::kColumns; ++j) {
#pragma unroll
      for (int row = 0; row < kRows; ++row) totals.product[row][j] = product[row][j].total;
      totals.column[j] = column[j].total();
    }
    return totals;
  }
};

}  // namespace per_step_dense::tiny
