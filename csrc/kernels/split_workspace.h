// Where the parts of split sums lie in the workspace. Pure host code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "choice.h"
#include "kernels/gemm.h"

namespace per_step_dense {

// A product whose sum over k is shared by `splits` blocks. The parts have the accumulator's type:
// float64 for float64, else float32.
struct SplitSum {
  Gemm gemm;               // where the result belongs
  int64_t splits;          // 0: there is no such product
  void* parts;             // (splits, T, M, N), without bias and activation
  void* column_sum_parts;  // (splits, T, N), or null
};

struct SplitSumList {
  SplitSum sum[kMaxProducts];
};

inline int64_t part_elems(const Gemm& gemm) { return gemm.t * gemm.m * gemm.n; }
inline int64_t column_sum_part_elems(const Gemm& gemm) {
  return gemm.column_sums.data ? gemm.t * gemm.n : 0;
}

// Hands out the workspace piece by piece; with a null base it only counts.
class SplitWorkspace {
 public:
  SplitWorkspace(void* base, DType dtype)
      : base_(static_cast<unsigned char*>(base)), accum_bytes_(accum_bytes_of(dtype)) {}

  // From here on the product's outputs are the first split's parts, without bias and activation.
  SplitSum leave_parts(Gemm& gemm, int64_t splits) {
    SplitSum sum{gemm, splits, take(splits * part_elems(gemm)), nullptr};
    const int64_t column_sums = splits * column_sum_part_elems(gemm);
    if (column_sums) sum.column_sum_parts = take(column_sums);
    gemm.activation = Activation::kNone;
    gemm.accumulation = Accumulation::kOverwrite;
    gemm.bias = {};
    gemm.z = {};
    if (gemm.c.data) gemm.c = {sum.parts, gemm.m * gemm.n, gemm.n, 1};
    if (gemm.column_sums.data) gemm.column_sums = {sum.column_sum_parts, gemm.n, 1};
    return sum;
  }

  void* take_bytes(int64_t bytes) {
    void* piece = base_ ? base_ + bytes_ : nullptr;
    bytes_ += static_cast<size_t>(ceil_div(bytes, kAlignment) * kAlignment);
    return piece;
  }

  size_t bytes() const { return bytes_; }

 private:
  void* take(int64_t elems) { return take_bytes(elems * accum_bytes_); }

  static constexpr int64_t kAlignment = 16;  // for vector accesses
  unsigned char* base_;
  int64_t accum_bytes_;
  size_t bytes_ = 0;
};

}  // namespace per_step_dense
