// Which outputs and which terms of their sums are a thread's.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/row_range.cuh"
#include "kernels/tiny/config.cuh"
#include "kernels/tiny/work.h"

namespace per_step_dense::tiny {

__device__ __forceinline__ uint32_t quotient(uint32_t number, const Divisor& divisor) {
  return static_cast<uint32_t>(uint64_t{number} * divisor.magic >> divisor.shift);
}

struct Place {
  int t, m, n;  // of the first output
  int m_end;    // the step's rows end there
  int slice;
  int split;
  int first_k, terms;  // of the split
  bool is_inside;      // false: nothing is stored; the thread only helps to join slices
};

// Which of the operands' rows and terms are the step's, where that differs by step. A thread whose
// rows the step does not have reads none, for there may be none before them either.
__device__ __forceinline__ void take_ranges(const Gemm& gemm, Place& place) {
  if (gemm.m_ranges.begin) {
    const RowRange rows = range_of(gemm.m_ranges, place.t, gemm.m);
    place.m += static_cast<int>(rows.begin);
    place.m_end = static_cast<int>(rows.end);
    if (place.m >= place.m_end) {
      place.is_inside = false;
      place.terms = 0;
    }
  }
  if (gemm.k_ranges.begin) {
    const RowRange terms = range_of(gemm.k_ranges, place.t, gemm.k);
    place.first_k += static_cast<int>(terms.begin);
    place.terms = min(place.terms, static_cast<int>(terms.end) - place.first_k);
  }
}

// Threads run along the columns of all steps, which lie side by side in (B, T, F): lanes read and
// write neighbours. The slices of a unit are neighbouring lanes, or whole warps.
template <class Config>
__device__ __forceinline__ Place place_of_thread(const Item& item, uint32_t block) {
  constexpr uint32_t kThreads = Config::kThreads;
  Place place;
  place.split = static_cast<int>(quotient(block, item.blocks_a_split));
  const uint32_t block_of_split = block - place.split * item.blocks_a_split.divisor;

  uint32_t unit = threadIdx.x, units_a_block = kThreads;
  place.slice = 0;
  if constexpr (Config::kSliced) {
    units_a_block = kThreads >> item.log2_slices;
    const uint32_t thread = threadIdx.x, slices_end = 1u << item.log2_slices;
    unit = item.slices_are_lanes ? thread >> item.log2_slices : thread & (units_a_block - 1);
    place.slice = static_cast<int>(item.slices_are_lanes ? thread & (slices_end - 1)
                                                         : (thread << item.log2_slices) / kThreads);
  }
  const auto units = static_cast<uint32_t>(item.units);
  unit += block_of_split * units_a_block;
  place.is_inside = unit < units;
  unit = min(unit, units - 1);

  const uint32_t row_group = quotient(unit, item.column_groups);
  const uint32_t column_group = unit - row_group * item.column_groups.divisor;
  const uint32_t t = quotient(column_group, item.column_groups_a_step);
  place.t = static_cast<int>(t);
  place.m = static_cast<int>(row_group) * kRows;
  place.n =
      static_cast<int>(column_group - t * item.column_groups_a_step.divisor) * Config::kColumns;
  place.m_end = item.m;
  place.first_k = place.split * item.terms;
  place.terms = min(item.k - place.first_k, item.terms);
  take_ranges(item.gemm, place);
  return place;
}

}  // namespace per_step_dense::tiny
