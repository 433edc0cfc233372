// The tiles this family is compiled with; the same for every dtype.
//
// A thread owns 4 rows and one column or 4 (2 in float64), and loops over k. In a sliced tile
// threads of a block share sums over k, as many as the product's shape asks for.
#pragma once

#include "kernels/tile.h"
#include "problem.h"

namespace per_step_dense::tiny {

inline constexpr int kRows = 4;
inline constexpr int kMaxWarpSlices = 4;   // slices that meet in shared memory
inline constexpr int kMaxLaneSlices = 32;  // slices that meet in a warp

template <bool kWide_, bool kSliced_, int kUnroll_, int kBlocksPerSm_>
struct Tile {
  static constexpr bool kWide = kWide_, kSliced = kSliced_;
  static constexpr int kThreads = 128;
  // Chunks whose loads are under way together.
  static constexpr int kUnroll = kUnroll_;
  // What registers are rationed for: the compiler must stay within 65,536 / (threads * this).
  static constexpr int kBlocksPerSm = kBlocksPerSm_;

  static constexpr int columns(int element_bytes) {
    return !kWide ? 1 : element_bytes == 8 ? 2 : 4;
  }
  // Terms a thread loads at a time. Short sums come in few; in long ones of few columns 16 bytes
  // along k keep enough under way.
  static constexpr int chunk(int element_bytes) {
    return kSliced && !kWide && element_bytes == 2 ? 8 : 4;
  }
};

// Indices into Tiles.
enum TileIndex : int {
  kNarrow,        // most threads: what fits into one wave
  kWideColumns,   // fewest instructions: many rows
  kNarrowSliced,  // long sums, few or odd outputs: O = 1, weight gradients of large batches
  kWideSliced,    // streams of weights: B <= 4
};

using Tiles = TypeList<Tile<false, false, 4, 3>, Tile<true, false, 1, 4>, Tile<false, true, 4, 3>,
                       Tile<true, true, 2, 3>>;
inline constexpr int kTileCount = 4;

// The same values at run time.
struct TileInfo {
  bool sliced;
  int rows, columns, chunk, threads, blocks_per_sm;
};

inline TileInfo tile_info(int index, DType dtype) {
  TileInfo info{};
  visit_type_at(Tiles{}, index, [&](auto tile) {
    using T = decltype(tile);
    const int bytes = static_cast<int>(bytes_of(dtype));
    info = {T::kSliced, kRows, T::columns(bytes), T::chunk(bytes), T::kThreads, T::kBlocksPerSm};
  });
  return info;
}

}  // namespace per_step_dense::tiny
