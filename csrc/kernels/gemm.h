// A batched product, as the kernels see it, whatever it is of the layer:
//
//   forward        y[t]  = x[t]   weight[t]      M = B, N = O, K = I
//   grad-input     dx[t] = dz[t]  weight[t]^T    M = B, N = I, K = O
//   grad-weight    dw[t] = x[t]^T dz[t]          M = I, N = O, K = B
//
// The bias gradient is the column sums of grad-weight's b, which is dz.
#pragma once

#include <algorithm>
#include <cstdint>

#include "activation.h"
#include "problem.h"

namespace per_step_dense {

// A[t] (rows m) or B[t] transposed (rows n): both are read as rows x k.
struct Operand {
  const void* data;
  int64_t stride_t, stride_row, stride_k;
};

struct Matrix {
  void* data;  // null: absent
  int64_t stride_t, stride_m, stride_n;
};

struct Vector {
  void* data;  // null: absent
  int64_t stride_t, stride_n;
};

// c[t] = activation(a[t] b[t] + bias[t]), or c[t] += a[t] b[t]
struct Gemm {
  int64_t t, m, n, k;
  RowRanges m_ranges;  // the rows of each step, of all m, where they differ
  RowRanges k_ranges;  // likewise for the terms, of all k
  Operand a;           // (T, M, K)
  Operand b;           // (T, N, K)
  Matrix c;            // (T, M, N), or absent where only the column sums are wanted
  Matrix z;            // (T, M, N) the value before the activation, or absent
  Vector bias;         // (T, N), or absent
  Vector column_sums;  // (T, N) = b summed over k, or absent
  Activation activation;
  Accumulation accumulation;  // of c and the column sums
};

// The products of a problem. One that is not wanted has neither c nor column sums.
Gemm forward_product(const ForwardProblem& problem);
Gemm grad_input_product(const BackwardProblem& problem);
Gemm grad_weight_product(const BackwardProblem& problem);

// Of a step, at most.
inline int64_t rows_of_a_step(const Gemm& gemm) {
  return gemm.m_ranges.begin ? gemm.m_ranges.most : gemm.m;
}
inline int64_t terms_of_a_step(const Gemm& gemm) {
  return gemm.k_ranges.begin ? gemm.k_ranges.most : gemm.k;
}

inline bool is_wanted(const Gemm& gemm) { return gemm.c.data || gemm.column_sums.data; }

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Tiles of so many rows that steps can need whose rows are `rows` in all, however those are shared.
constexpr int64_t most_tiles(int64_t rows, int64_t steps, int64_t tile_rows) {
  return std::min(rows, (rows + steps * (tile_rows - 1)) / tile_rows);
}

}  // namespace per_step_dense
