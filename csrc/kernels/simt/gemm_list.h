// The work of one launch: up to two batched products, cut into tiles that are numbered through.
//
//   forward        y[t]  = x[t]   weight[t]      M = B, N = O, K = I
//   grad-input     dx[t] = dz[t]  weight[t]^T    M = B, N = I, K = O
//   grad-weight    dw[t] = x[t]^T dz[t]          M = I, N = O, K = B   (and dbias: column sums of
//   dz)
#pragma once

#include <cstdint>

#include "activation.h"

namespace per_step_dense::simt {

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

// c[t] = activation(a[t] b[t] + bias[t]).
struct Gemm {
  int64_t t, m, n, k;
  Operand a;           // (T, M, K)
  Operand b;           // (T, N, K)
  Matrix c;            // (T, M, N)
  Matrix z;            // (T, M, N) the value before the activation
  Vector bias;         // (T, N)
  Vector column_sums;  // (T, N) = b summed over k, formed by the tiles of the first m-tile
  Activation activation;
  int64_t tiles_m, tiles_n;
};

struct GemmList {
  Gemm gemm[2];
  int64_t tiles[2];  // of each product; zero where there is none
};

}  // namespace per_step_dense::simt
