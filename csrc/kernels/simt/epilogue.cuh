// What becomes of a finished tile: bias, activation, stores; and the column sums.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/simt/mainloop.cuh"

namespace per_step_dense::simt {

template <class Scalar>
__device__ __forceinline__ Scalar* element_at(const Matrix& matrix, int64_t t, int64_t m,
                                              int64_t n) {
  return static_cast<Scalar*>(matrix.data) + t * matrix.stride_t + m * matrix.stride_m +
         n * matrix.stride_n;
}

template <class Scalar>
__device__ __forceinline__ Scalar* element_at(const Vector& vector, int64_t t, int64_t n) {
  return static_cast<Scalar*>(vector.data) + t * vector.stride_t + n * vector.stride_n;
}

template <class Config>
__device__ __forceinline__ void store_tile(const Gemm& gemm, int64_t t, int64_t m0, int64_t n0,
                                           const Accumulators<Config>& accum) {
  using Scalar = typename Config::Scalar;
  const int64_t first_m = m0 + thread_m<Config>(), first_n = n0 + thread_n<Config>();
#pragma unroll
  for (int j = 0; j < Config::kThreadN; ++j) {
    const int64_t n = first_n + j;
    if (n >= gemm.n) break;
    const Scalar bias =
        gemm.bias.data ? ptx::ld_global_nc<Scalar>(element_at<Scalar>(gemm.bias, t, n)) : 0;
#pragma unroll
    for (int i = 0; i < Config::kThreadM; ++i) {
      const int64_t m = first_m + i;
      if (m >= gemm.m) break;
      const Scalar z = accum.tile[i][j].total + bias;
      if (gemm.z.data) ptx::st_global(element_at<Scalar>(gemm.z, t, m, n), z);
      ptx::st_global(element_at<Scalar>(gemm.c, t, m, n), activate(gemm.activation, z));
    }
  }
}

// Adds up the shares of each column in their order: the result does not depend on timing.
template <class Config>
__device__ __forceinline__ void store_column_sums(const Gemm& gemm, int64_t t, int64_t n0,
                                                  const Accumulators<Config>& accum,
                                                  SharedStorage<Config>& smem) {
  using Scalar = typename Config::Scalar;
  constexpr int kShares = Config::kThreads / Config::kBlockN;
  static_assert(kShares <= Config::kBlockK, "or the shares do not fit into the tile of b");
  const int share = threadIdx.x / Config::kBlockN, column = threadIdx.x % Config::kBlockN;
  smem.b[share][column] = accum.column.total();  // the main loop is done with the tile
  __syncthreads();
  if (share == 0 && n0 + column < gemm.n) {
    Scalar sum = 0;
#pragma unroll
    for (int i = 0; i < kShares; ++i) sum += smem.b[i][column];
    ptx::st_global(element_at<Scalar>(gemm.column_sums, t, n0 + column), sum);
  }
  __syncthreads();  // the next tile of this block writes smem
}

}  // namespace per_step_dense::simt
