// The sum over k of one output tile, by tensor cores.
#pragma once

#include "kernels/sm80/column_sums.cuh"
#include "kernels/sm80/fragment.cuh"
#include "kernels/tiled/stages.cuh"

namespace per_step_dense::sm80 {

using tiled::Coordinates;
using tiled::TiledGemm;

// Where a warp's outputs begin inside the tile.
template <class Config>
struct WarpPlace {
  unsigned m, n;

  __device__ __forceinline__ WarpPlace() {
    const unsigned warp = threadIdx.x / 32;
    m = warp / Config::kWarpsN * Config::kWarpM;
    n = warp % Config::kWarpsN * Config::kWarpN;
  }
};

// A lane has rows lane / 4 and 8 more of a fragment of 16 x 8, and of each two neighbouring columns
// from lane % 4 * 2 on.
template <class Config>
struct Accumulators {
  float fragment[Config::kFragmentsM][Config::kFragmentsN][4];
};

__device__ __forceinline__ void mma(TypeTag<__half>, float (&accum)[4], const uint32_t (&a)[4],
                                    const uint32_t (&b)[2]) {
  ptx::mma_m16n8k16_f16(accum, a, b);
}
__device__ __forceinline__ void mma(TypeTag<__nv_bfloat16>, float (&accum)[4],
                                    const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  ptx::mma_m16n8k16_bf16(accum, a, b);
}
__device__ __forceinline__ void mma(TypeTag<float>, float (&accum)[4], const uint32_t (&a)[4],
                                    const uint32_t (&b)[2]) {
  ptx::mma_m16n8k8_tf32(accum, a, b);
}

// A warp's share of a stage.
template <class Config>
class Multiplier {
  using Scalar = typename Config::Scalar;

 public:
  __device__ __forceinline__ explicit Multiplier(const WarpPlace<Config>& warp)
      : reader_a_(warp.m), reader_b_(warp.n) {}

  __device__ __forceinline__ void multiply(const Stage<Config>& stage,
                                           Accumulators<Config>& accum) const {
#pragma unroll
    for (int step = 0; step < Config::kSteps; ++step) {
      Fragment a[Config::kFragmentsM];
#pragma unroll
      for (int i = 0; i < Config::kFragmentsM; ++i) reader_a_.read(stage.a, i, step, a[i]);
#pragma unroll
      for (int j = 0; j < Config::kFragmentsN; j += 2) {
        Fragment b;
        reader_b_.read(stage.b, j / 2, step, b);
#pragma unroll
        for (int i = 0; i < Config::kFragmentsM; ++i) {
          mma(TypeTag<Scalar>{}, accum.fragment[i][j], a[i], {b[0], b[1]});
          mma(TypeTag<Scalar>{}, accum.fragment[i][j + 1], a[i], {b[2], b[3]});
        }
      }
    }
  }

 private:
  FragmentReader<Side::kA, Config, decltype(Stage<Config>::a)> reader_a_;
  FragmentReader<Side::kB, Config, decltype(Stage<Config>::b)> reader_b_;
};

// Only grad-weight sums columns.
template <class Config>
__device__ __forceinline__ void mainloop(const TiledGemm& tiled, const Coordinates& at,
                                         const WarpPlace<Config>& warp, SharedStorage<Config>& smem,
                                         Accumulators<Config>& accum, ColumnSums<Config>& columns) {
  const Multiplier<Config> multiplier(warp);
  tiled::for_each_stage<Config>(tiled, at, smem.stage, [&](const Stage<Config>& stage) {
    if (tiled.gemm.m > 0) multiplier.multiply(stage, accum);
    if constexpr (Config::kSumsRows) {
      if (at.sums_columns) columns.add(stage.b);
    }
  });
}

}  // namespace per_step_dense::sm80
