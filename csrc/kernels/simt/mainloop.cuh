// The sum over k of one output tile.
#pragma once

#include "kernels/simt/operand_tile.cuh"

namespace per_step_dense::simt {

// A sum in two levels: terms go into `recent`, which fold() adds to `total`.
template <class Scalar>
struct FoldedSum {
  Scalar recent = 0, total = 0;

  __device__ void fold() {
    total += recent;
    recent = 0;
  }
};

// A sum that keeps what every addition rounds off (Knuth's TwoSum, which needs no order of sizes).
// Torch adds up bias gradients by cascades, which a folded sum does not match over 10^5 terms.
template <class Scalar>
struct CompensatedSum {
  Scalar sum = 0, lost = 0;

  __device__ void add(Scalar term) {
    const Scalar next = sum + term;
    const Scalar added = next - sum;
    lost += (sum - (next - added)) + (term - added);
    sum = next;
  }

  // An infinite sum has lost nothing but reads inf - inf there.
  __device__ Scalar total() const { return isfinite(sum) ? sum + lost : sum; }
};

template <class Config>
struct Accumulators {
  FoldedSum<typename Config::Scalar> tile[Config::kThreadM][Config::kThreadN];
  CompensatedSum<typename Config::Scalar> column;  // this thread's share of a column of b

  __device__ void fold() {
#pragma unroll
    for (int i = 0; i < Config::kThreadM; ++i) {
#pragma unroll
      for (int j = 0; j < Config::kThreadN; ++j) tile[i][j].fold();
    }
  }
};

// The thread's kThreadM x kThreadN outputs begin here, inside the tile.
template <class Config>
__device__ __forceinline__ int thread_m() {
  return threadIdx.x / Config::kThreadsN * Config::kThreadM;
}
template <class Config>
__device__ __forceinline__ int thread_n() {
  return threadIdx.x % Config::kThreadsN * Config::kThreadN;
}

template <class Config>
__device__ __forceinline__ void multiply(const SharedStorage<Config>& smem,
                                         Accumulators<Config>& accum) {
#pragma unroll
  for (int k = 0; k < Config::kBlockK; ++k) {
    const float4 a4 = *reinterpret_cast<const float4*>(&smem.a[k][thread_m<Config>()]);
    const float4 b4 = *reinterpret_cast<const float4*>(&smem.b[k][thread_n<Config>()]);
    const float a[4] = {a4.x, a4.y, a4.z, a4.w}, b[4] = {b4.x, b4.y, b4.z, b4.w};
#pragma unroll
    for (int i = 0; i < Config::kThreadM; ++i) {
#pragma unroll
      for (int j = 0; j < Config::kThreadN; ++j) accum.tile[i][j].recent += a[i] * b[j];
    }
  }
}

// Threads n, n + kBlockN, ... share column n, each taking its own rows.
template <class Config>
__device__ __forceinline__ void sum_columns(const SharedStorage<Config>& smem,
                                            Accumulators<Config>& accum) {
  constexpr int kShares = Config::kThreads / Config::kBlockN;
  typename Config::Scalar sum = 0;
#pragma unroll
  for (int k = 0; k < Config::kBlockK; k += kShares) {
    sum += smem.b[k + threadIdx.x / Config::kBlockN][threadIdx.x % Config::kBlockN];
  }
  accum.column.add(sum);
}

//   fetch(0) | store(0) barrier fetch(1) multiply(0) barrier | store(1) barrier fetch(2) ...
//
// The next tile is in flight, in registers, while this one is multiplied.
template <class Config>
__device__ __forceinline__ void mainloop(const Gemm& gemm, int64_t t, int64_t m0, int64_t n0,
                                         bool wants_column_sums, SharedStorage<Config>& smem,
                                         Accumulators<Config>& accum) {
  OperandTile<Config, Config::kBlockM> a(gemm.a, t, m0, gemm.m, gemm.k);
  OperandTile<Config, Config::kBlockN> b(gemm.b, t, n0, gemm.n, gemm.k);
  a.fetch();
  b.fetch();
  for (int64_t k = 0; k < gemm.k; k += Config::kBlockK) {
    a.store(smem.a);
    b.store(smem.b);
    __syncthreads();
    if (k + Config::kBlockK < gemm.k) {
      a.fetch();
      b.fetch();
    }
    if (gemm.m > 0) multiply(smem, accum);
    if (wants_column_sums) sum_columns(smem, accum);
    if ((k + Config::kBlockK) % Config::kTermsPerFold == 0) accum.fold();
    __syncthreads();
  }
  accum.fold();
}

}  // namespace per_step_dense::simt
