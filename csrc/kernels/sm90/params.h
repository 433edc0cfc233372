// What the kernels of this family are given.
#pragma once

#include <cuda.h>

#include "kernels/gemm.h"
#include "kernels/sm90/tile_order.h"

namespace per_step_dense::sm90 {

struct ForwardParams {
  CUtensorMap x, weight;
  CUtensorMap y, z;  // not encoded where the sum is split; z neither where it is absent
  Gemm gemm;         // where the sum is split, c is the first split's parts
  TileOrder order;
  bool is_split;
  int64_t part_elems;  // from one split's parts to the next's

  bool x_has_steps, weight_has_steps;  // else their maps have one
  bool reads_weight_once;
};

}  // namespace per_step_dense::sm90
