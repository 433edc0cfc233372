// Where TMA finds a part of a matrix.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/sm90/products.h"

namespace per_step_dense::sm90 {

// Coordinates of a box, the innermost first.
struct BoxPlace {
  int32_t c0, c1, c2;
};

// Columns are the contiguous dimension of the tensor.
template <TensorKind kKind>
__device__ __forceinline__ BoxPlace box_at(int32_t t, int32_t row, int32_t column) {
  return kKind == TensorKind::kRows ? BoxPlace{column, t, row} : BoxPlace{column, row, t};
}

}  // namespace per_step_dense::sm90
