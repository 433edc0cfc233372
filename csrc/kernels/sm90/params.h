// What the kernels of this family are given.
#pragma once

#include <cuda.h>

#include "kernels/sm90/tiled_product.h"

namespace per_step_dense::sm90 {

struct ProductParams : TiledProduct {
  CUtensorMap a, b;
  CUtensorMap c, z;  // not encoded where consumers store themselves; z neither where it is absent

  bool a_has_steps, b_has_steps;  // else their maps have one
  int32_t rows_of_a;              // of a's box, along k
  bool reads_b_once;
};

// All that a kernel is given where nothing else of a backward is computed.
struct GradInputParams : ProductParams {};

struct BackwardParams {
  GradInputParams grad_input;
  ProductParams grad_weight;
  ListOrder order;
};

// Of steps whose rows differ. All rows lie in one matrix: maps of rows have one step.
template <class Params>
struct Ranged : Params {
  RowRanges ranges;
  int64_t rows;
  int32_t steps;
};

template <class Params>
inline constexpr bool kIsRanged = false;
template <class Params>
inline constexpr bool kIsRanged<Ranged<Params>> = true;

}  // namespace per_step_dense::sm90
