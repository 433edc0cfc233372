// The bias of a consumer's columns: on its way while the tile is multiplied, so that nothing is
// made of it before.
#pragma once

#include "kernels/output.cuh"
#include "kernels/sm90/config.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class TileBias {
  using Scalar = typename Config::Scalar;
  static constexpr int kShare =
      (Config::kConsumerColumns + kWarpgroupThreads - 1) / kWarpgroupThreads;

 public:
  __device__ __forceinline__ TileBias(const ProductParams& params, const TilePlace& at,
                                      int consumer) {
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      const int64_t n = at.n0 + first_column<Config>(consumer) + column(i);
      const bool is_there = params.gemm.bias.data && n < params.gemm.n;
      bias_[i] =
          is_there ? ptx::ld_global_nc(element_at<Scalar>(params.gemm.bias, at.t, n)) : Scalar{};
    }
  }

  __device__ __forceinline__ void write(float (&smem)[Config::kConsumerColumns]) const {
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      if (column(i) < Config::kConsumerColumns) smem[column(i)] = to_accum(bias_[i]);
    }
  }

 private:
  static __device__ __forceinline__ int column(int i) {
    return threadIdx.x % kWarpgroupThreads + i * kWarpgroupThreads;
  }

  Scalar bias_[kShare];
};

}  // namespace per_step_dense::sm90
