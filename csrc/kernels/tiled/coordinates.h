// Where a block is in its list of tiles. Pure host code.
#pragma once

#include <cstdint>

namespace per_step_dense::tiled {

// The tile of outputs that a block computes, and the terms it adds up.
struct Coordinates {
  int64_t t, m0, n0;
  int32_t rows;  // of the tile, that are the step's
  int64_t first_k, terms, split;
  bool sums_columns;
};

// Where threads leave to each other what they find of steps of different lengths.
struct StepSearch {
  static constexpr int kMaxWarps = 8;

  int64_t tiles_of_warp[kMaxWarps];
  int64_t step, m_tile;  // what was looked for
};

}  // namespace per_step_dense::tiled
