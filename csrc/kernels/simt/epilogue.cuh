// What becomes of a finished tile: bias, activation, what is added to, stores.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/simt/mainloop.cuh"
#include "kernels/store_group.cuh"

namespace per_step_dense::simt {

// Out is what the outputs are stored as: the accumulator's type or the operands'.
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
      const int row = outputs_.template row<Product::kMajorA>(i);
      if (row >= at_.rows) break;
#pragma unroll
      for (int j = 0; j < Config::kThreadN; j += kGroup) {
        Accum values[kGroup];
#pragma unroll
        for (int e = 0; e < kGroup; ++e) values[e] = accum.results()[0][j + e];
        store_row(at_.m0 + row, at_.n0 + outputs_.column(j), values);
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
    const bool by_vectors = tiled_.store_elems >= kElemsOfVector<Out, kGroup>;
    if constexpr (Product::kActivates) {
      if (gemm.z.data) {
        store_group(element_of(gemm.z, m, n), gemm.z.stride_n, values, count, by_vectors);
      }
      activate_all<Scalar>(gemm.activation, values);
    }
    Out* const c = element_of(gemm.c, m, n);
    if constexpr (Product::kSumsRows) {
      if (gemm.accumulation != Accumulation::kOverwrite) {
        add_stored_group(c, gemm.c.stride_n, values, count, by_vectors);
      }
    }
    store_group(c, gemm.c.stride_n, values, count, by_vectors);
  }

  const TiledGemm& tiled_;
  const Coordinates& at_;
  const ThreadOutputs<Config>& outputs_;
};

}  // namespace per_step_dense::simt
