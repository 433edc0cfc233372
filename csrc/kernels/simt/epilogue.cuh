// What becomes of a finished tile: bias, activation, stores; and the column sums.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/simt/mainloop.cuh"

namespace per_step_dense::simt {

// Stores the first `count` of a thread's neighbouring outputs; all of them by whole vectors where
// alignment allows.
template <class Out, int kGroup, class Accum>
__device__ __forceinline__ void store_group(Out* gmem, int64_t stride,
                                            const Accum (&values)[kGroup], int64_t count,
                                            bool by_vectors) {
  constexpr int kElems = kGroup * sizeof(Out) < kVectorBytes ? kGroup : kVectorBytes / sizeof(Out);
  if (by_vectors && count >= kGroup) {
#pragma unroll
    for (int j = 0; j < kGroup; j += kElems) {
      Pack<Out, kElems> pack;
#pragma unroll
      for (int e = 0; e < kElems; ++e) pack.elem[e] = from_accum<Out>(values[j + e]);
      using Raw = typename Pack<Out, kElems>::Raw;
      ptx::st_global(reinterpret_cast<Raw*>(gmem + j), pack.raw());
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) ptx::st_global(gmem + j * stride, from_accum<Out>(values[j]));
  }
}

// Out is the accumulator's type where the outputs are parts of a split sum, else the operands'.
template <class Out, class Config, class Product>
class TileStore {
  using Accum = typename Config::Accum;
  using Scalar = typename Config::Scalar;
  static constexpr int kGroup = Config::kGroupN;

 public:
  __device__ __forceinline__ TileStore(const TiledGemm& tiled, const Coordinates& at,
                                       const ThreadOutputs<Config>& outputs)
      : tiled_(tiled), at_(at), outputs_(outputs) {}

  // Row by row, and the rows move up in the registers: so the code of a row is there once, which
  // the activations make long.
  __device__ __forceinline__ void store(Accumulators<Config>& accum) const {
    if (Product::kActivates && tiled_.gemm.bias.data) add_bias(accum);
#pragma unroll 1
    for (int i = 0; i < Config::kThreadM; ++i) {
      const int64_t m = at_.m0 + outputs_.template row<Product::kMajorA>(i);
      if (m >= tiled_.gemm.m) break;
#pragma unroll
      for (int j = 0; j < Config::kThreadN; j += kGroup) {
        Accum values[kGroup];
#pragma unroll
        for (int e = 0; e < kGroup; ++e) values[e] = accum.results()[0][j + e];
        store_row(m, at_.n0 + outputs_.column(j), values);
      }
      accum.drop_row();
    }
  }

 private:
  __device__ __forceinline__ void add_bias(Accumulators<Config>& accum) const {
    const Vector& bias = tiled_.gemm.bias;
    const Scalar* gmem = static_cast<const Scalar*>(bias.data) + at_.t * bias.stride_t;
#pragma unroll
    for (int j = 0; j < Config::kThreadN; ++j) {
      const int64_t n = at_.n0 + outputs_.column(j);
      if (n >= tiled_.gemm.n) break;
      const Accum value = to_accum(ptx::ld_global_nc(gmem + n * bias.stride_n));
#pragma unroll
      for (int i = 0; i < Config::kThreadM; ++i) accum.results()[i][j] += value;
    }
  }

  __device__ __forceinline__ Out* element_of(const Matrix& matrix, int64_t m, int64_t n) const {
    return static_cast<Out*>(matrix.data) + at_.split * tiled_.part_elems +
           at_.t * matrix.stride_t + m * matrix.stride_m + n * matrix.stride_n;
  }

  __device__ __forceinline__ void store_row(int64_t m, int64_t n, Accum (&values)[kGroup]) const {
    const Gemm& gemm = tiled_.gemm;
    const int64_t count = gemm.n - n;
    if constexpr (Product::kActivates) {
      if (gemm.z.data) {
        store_group(element_of(gemm.z, m, n), gemm.z.stride_n, values, count,
                    tiled_.stores_groups_of_z);
      }
#pragma unroll
      for (int e = 0; e < kGroup; ++e) values[e] = activate(gemm.activation, values[e]);
    }
    store_group(element_of(gemm.c, m, n), gemm.c.stride_n, values, count,
                tiled_.stores_groups_of_c);
  }

  const TiledGemm& tiled_;
  const Coordinates& at_;
  const ThreadOutputs<Config>& outputs_;
};

template <class Config>
__device__ __forceinline__ void store_column_sum(const TiledGemm& tiled, const Coordinates& at,
                                                 int64_t n, typename Config::Accum sum) {
  using Accum = typename Config::Accum;
  using Scalar = typename Config::Scalar;
  const Vector& to = tiled.gemm.column_sums;
  const int64_t offset = at.t * to.stride_t + n * to.stride_n;
  if (tiled.is_split) {
    ptx::st_global(static_cast<Accum*>(to.data) + at.split * tiled.column_sum_part_elems + offset,
                   sum);
  } else {
    ptx::st_global(static_cast<Scalar*>(to.data) + offset, from_accum<Scalar>(sum));
  }
}

// Adds up the shares of each column in their order: the result does not depend on timing.
template <class Config>
__device__ __forceinline__ void store_column_sums(const TiledGemm& tiled, const Coordinates& at,
                                                  const Accumulators<Config>& accum,
                                                  typename Config::Accum* smem) {
#pragma unroll
  for (int j = 0; j < Config::kColumnsAThread; ++j) {
    smem[threadIdx.x + j * Config::kThreads] = accum.column[j].total();
  }
  __syncthreads();
  for (int column = threadIdx.x; column < Config::kBlockN; column += Config::kThreads) {
    if (at.n0 + column >= tiled.gemm.n) break;
    typename Config::Accum sum = 0;
#pragma unroll
    for (int i = 0; i < Config::kSharesAColumn; ++i) sum += smem[i * Config::kBlockN + column];
    store_column_sum<Config>(tiled, at, at.n0 + column, sum);
  }
  __syncthreads();  // the next tile of this block writes smem
}

}  // namespace per_step_dense::simt
