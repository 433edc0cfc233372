// The tiles this family is compiled with; the same for every dtype.
#pragma once

#include "kernels/tile.h"
#include "problem.h"

namespace per_step_dense::simt {

// Of an operand's row, or of its k, a stage of the pipeline holds this many bytes.
inline constexpr int kBlockKBytes = 64;

// float64 takes twice the registers of an output, so fewer blocks share an SM.
constexpr int blocks_per_sm(int blocks, size_t element_bytes) {
  return element_bytes == 8 && blocks > 1 ? blocks * 2 / 3 : blocks;
}

// A block computes kBlockM x kBlockN outputs, a thread kThreadM x kThreadN of them.
template <int kBlockM_, int kBlockN_, int kThreadM_, int kThreadN_, int kStages_, int kBlocksPerSm_>
struct Tile {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_;
  static constexpr int kThreadM = kThreadM_, kThreadN = kThreadN_;
  static constexpr int kStages = kStages_;
  // What registers are rationed for: the compiler must stay within 65,536 / (threads * this).
  static constexpr int kBlocksPerSm = kBlocksPerSm_;
  static constexpr int kThreads = (kBlockM / kThreadM) * (kBlockN / kThreadN);
};

// The last is for streams of weights that few rows wait for.
using Tiles = TypeList<Tile<128, 128, 8, 8, 3, 1>, Tile<64, 64, 8, 4, 4, 3>,
                       Tile<32, 32, 4, 4, 3, 8>, Tile<16, 128, 4, 8, 3, 4>>;
inline constexpr int kTileCount = 4;

constexpr bool is_tile(int index) { return index >= 0 && index < kTileCount; }

// The same values at run time.
struct TileInfo {
  int block_m, block_n, thread_m, thread_n, stages, threads, blocks_per_sm;
};

inline TileInfo tile_info(int index, DType dtype) {
  TileInfo info{};
  visit_type_at(Tiles{}, index, [&](auto tile) {
    using T = decltype(tile);
    info = {T::kBlockM,
            T::kBlockN,
            T::kThreadM,
            T::kThreadN,
            T::kStages,
            T::kThreads,
            blocks_per_sm(T::kBlocksPerSm, size_t(bytes_of(dtype)))};
  });
  return info;
}

}  // namespace per_step_dense::simt
