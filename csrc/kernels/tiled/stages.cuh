// The pipeline of a tile: operands come to shared memory stage by stage, ahead of what reads them.
#pragma once

#include "kernels/tiled/operand_copy.cuh"
#include "kernels/tiled/scheduler.cuh"

namespace per_step_dense::tiled {

// Calls consume(stage) for each k-tile in turn. A Stage has an operand tile a and an operand tile
// b.
//
//   copy(0) copy(1) | wait(0) barrier copy(2) consume(0) | wait(1) barrier copy(3) consume(1) ...
//
// A stage is refilled after the barrier that every thread reaches when it has read it.
template <class Config, class Stage, class Consume>
__device__ __forceinline__ void for_each_stage(const TiledGemm& tiled, const Coordinates& at,
                                               Stage (&stages)[Config::kStages],
                                               Consume&& consume) {
  const int columns = int(min(tiled.gemm.n - at.n0, int64_t{Config::kBlockN}));
  OperandCopy<Config, decltype(Stage::a)> copy_a(tiled.gemm.a, tiled.access_a, at.t, at.m0, at.rows,
                                                 at.first_k);
  OperandCopy<Config, decltype(Stage::b)> copy_b(tiled.gemm.b, tiled.access_b, at.t, at.n0, columns,
                                                 at.first_k);
  int64_t k_left = at.terms;  // to be consumed
  const auto copy = [&](int stage, int tiles_ahead) {
    const int64_t k_to_copy = k_left - tiles_ahead * Config::kBlockK;
    if (k_to_copy > 0) {
      const int k_inside = int(min(k_to_copy, int64_t(Config::kBlockK)));
      copy_a.issue(stages[stage].a, k_inside);
      copy_b.issue(stages[stage].b, k_inside);
    }
    ptx::cp_async_commit_group();
  };

#pragma unroll 1
  for (int stage = 0; stage < Config::kStages - 1; ++stage) copy(stage, stage);
  int read = 0, refill = Config::kStages - 1;
  for (; k_left > 0; k_left -= Config::kBlockK) {
    ptx::cp_async_wait_group<Config::kStages - 2>();
    __syncthreads();
    copy(refill, Config::kStages - 1);
    consume(stages[read]);
    read = read + 1 == Config::kStages ? 0 : read + 1;
    refill = refill + 1 == Config::kStages ? 0 : refill + 1;
  }
  ptx::cp_async_wait_group<0>();
  __syncthreads();  // what comes next writes there
}

}  // namespace per_step_dense::tiled
