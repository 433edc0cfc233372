// A product cut into tiles, but for the tensor maps. Pure host code.
#pragma once

#include "kernels/gemm.h"
#include "kernels/sm90/tile_order.h"

namespace per_step_dense::sm90 {

struct TiledProduct {
  Gemm gemm;        // where the sum is split, c and column_sums are the first split's parts
  TileOrder order;  // without items where the product is not wanted
  bool is_split;
  bool stores_pairs;  // of c's columns by vectors, where consumers store them themselves
  int64_t part_elems, column_sum_part_elems;  // from one split's parts to the next's
};

}  // namespace per_step_dense::sm90
