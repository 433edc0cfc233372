// How the tiles of a product are numbered, and so which are computed side by side. Pure host code.
#pragma once

#include <cstdint>

namespace per_step_dense::sm90 {

// An item is what a cluster computes at a time: one tile of each of its blocks.
struct TileOrder {
  int32_t items;
  int32_t steps, tiles_n;
  int32_t rows_of_tiles;  // tiles along m, by clusters
  int32_t splits;
  int32_t k_blocks, k_blocks_a_split;

  // Where a step's rows of x are short and lie beside the next step's, steps are innermost, and
  // neighbours read whole rows. Otherwise a step is finished before the next.
  bool steps_inside;

  // A step's tiles lie in bands of so many columns of tiles, whose operands stay in L2 while the
  // rows pass by.
  int32_t band;
};

// How the items of a backward's two products follow each other.
enum class ListOrder : int32_t {
  kGradInputFirst,
  kGradWeightFirst,
  kByStep,  // a step's weight gradient, then its input gradient, which reads the same dz
};

}  // namespace per_step_dense::sm90
