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

// How the items of a backward's two products are dealt out: those with the longer sums first, one a
// cluster and round, then the others. Where the long ones end inside a round, the clusters that it
// leaves out take short items for as many rounds as a long one lasts, while the others pass:
//
//   cluster    0   1   2   3   4
//   round 0    L0  L1  L2  L3  L4
//   round 1    L5  L6  S0  S1  S2     clusters_with_last = 2, rounds_apart = 3
//   round 2            S3  S4  S5
//   round 3            S6  S7  S8
//   round 4    S9  S10 S11 S12 S13
struct ListOrder {
  bool is_grad_weight_first;
  int32_t clusters;
  int32_t long_items;
  int32_t clusters_with_last;  // of the round in which the long ones end
  int32_t rounds_apart;        // at least 1
  int32_t numbers;             // of places, the empty ones included
};

}  // namespace per_step_dense::sm90
