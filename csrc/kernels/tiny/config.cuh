// The compile-time values of a kernel.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/scalar.cuh"
#include "kernels/sums.cuh"
#include "kernels/tiny/tiles.h"

namespace per_step_dense::tiny {

template <class Scalar_, class Tile>
struct Config {
  using Scalar = Scalar_;
  using Accum = AccumOf<Scalar>;
  static constexpr int kColumns = Tile::columns(sizeof(Scalar));
  static constexpr int kChunk = Tile::chunk(sizeof(Scalar));
  static constexpr int kThreads = Tile::kThreads, kBlocksPerSm = Tile::kBlocksPerSm;
  static constexpr int kUnroll = Tile::kUnroll;
  static constexpr bool kSliced = Tile::kSliced;

  // More often than sums of this length need it: products with few rows or columns are measured
  // against torch's matrix-vector routines, which add up in many lanes.
  static constexpr int kTermsPerFold = 64;
  static_assert(kTermsPerFold <= per_step_dense::kTermsPerFold && kTermsPerFold % kChunk == 0,
                "or folds come too late");
  static_assert(!kSliced || kThreads / kMaxWarpSlices >= 32, "or slices would share a warp");
};

}  // namespace per_step_dense::tiny
