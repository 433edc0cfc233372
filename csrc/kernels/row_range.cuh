// Which rows a step has, where they differ.
#pragma once

#include "kernels/ptx.cuh"
#include "problem.h"

namespace per_step_dense {

struct RowRange {
  int64_t begin, end;
};

// What a range claims beyond the rows there are is not touched.
__device__ __forceinline__ RowRange range_of(const RowRanges& ranges, int64_t t, int64_t rows) {
  const int64_t begin = ptx::ld_global_nc(ranges.begin + t);
  const int64_t count = ptx::ld_global_nc(ranges.count + t);
  const int64_t inside = min(max(begin, int64_t{0}), rows);
  return {inside, inside + min(max(count, int64_t{0}), rows - inside)};
}

}  // namespace per_step_dense
