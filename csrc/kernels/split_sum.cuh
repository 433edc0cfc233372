// Adds up the parts of split sums: one thread an element, in steps of the grid.
//
//   parts (splits, T, M, N)      p0 + p1 + ... , + bias, activation   ->  c (and z), or added to c
//   column_sum_parts (splits, T, N)   p0 + p1 + ...                   ->  column_sums, likewise
#pragma once

#include "kernels/output.cuh"
#include "kernels/split_workspace.h"
#include "kernels/sums.cuh"

namespace per_step_dense {

inline constexpr int kSplitSumThreads = 256;

// The elements of all sums, numbered through: of each product c, then the column sums.
struct SplitSumWork {
  SplitSumList list;
  int64_t outputs[kMaxProducts];      // T M N
  int64_t column_sums[kMaxProducts];  // T N, or 0
};

// Calls add(value) for an element's parts, which lie `stride` apart, in their order. Several loads
// are under way at a time: one takes as long as a hundred additions.
template <class Accum, class Add>
__device__ __forceinline__ void for_each_part(const Accum* part, int64_t parts, int64_t stride,
                                              Add&& add) {
  constexpr int kAtATime = 8;
  for (int64_t left = parts; left > 0; left -= kAtATime, part += kAtATime * stride) {
    Accum values[kAtATime];
#pragma unroll
    for (int i = 0; i < kAtATime; ++i) {
      values[i] = i < left ? ptx::ld_global_nc(part + i * stride) : Accum{};
    }
#pragma unroll
    for (int i = 0; i < kAtATime; ++i) {
      if (i < left) add(values[i]);
    }
  }
}

template <class Scalar>
__device__ __forceinline__ void add_up_output(const SplitSum& sum, int64_t element,
                                              int64_t outputs) {
  const auto* part = static_cast<const AccumOf<Scalar>*>(sum.parts) + element;
  AccumOf<Scalar> total = 0;
  for_each_part(part, sum.splits, outputs, [&](AccumOf<Scalar> value) { total += value; });
  const int64_t row = element / sum.gemm.n, n = element % sum.gemm.n;
  const int64_t t = row / sum.gemm.m, m = row % sum.gemm.m;
  store_output<Scalar>(sum.gemm, t, m, n, total + bias_at<Scalar>(sum.gemm, t, n));
}

template <class Scalar>
__device__ __forceinline__ void add_up_column_sum(const SplitSum& sum, int64_t element,
                                                  int64_t column_sums) {
  const auto* part = static_cast<const AccumOf<Scalar>*>(sum.column_sum_parts) + element;
  CompensatedSum<AccumOf<Scalar>> total;
  for_each_part(part, sum.splits, column_sums, [&](AccumOf<Scalar> value) { total.add(value); });
  const int64_t t = element / sum.gemm.n, n = element % sum.gemm.n;
  store_result<Scalar>(sum.gemm, sum.gemm.column_sums, total.total(), t, n);
}

template <class Scalar>
__global__ void __launch_bounds__(kSplitSumThreads, 4)
    add_up_splits_kernel(const __grid_constant__ SplitSumWork work) {
  const int64_t first = work.outputs[0] + work.column_sums[0];
  const int64_t elements = first + work.outputs[1] + work.column_sums[1];
  const int64_t step = int64_t(gridDim.x) * kSplitSumThreads;
  int64_t element = int64_t(blockIdx.x) * kSplitSumThreads + threadIdx.x;
  for (; element < elements; element += step) {
    const int product = element < first ? 0 : 1;
    const SplitSum& sum = work.list.sum[product];
    const int64_t outputs = work.outputs[product];
    const int64_t index = product ? element - first : element;
    if (index < outputs) {
      add_up_output<Scalar>(sum, index, outputs);
    } else {
      add_up_column_sum<Scalar>(sum, index - outputs, work.column_sums[product]);
    }
  }
}

}  // namespace per_step_dense
