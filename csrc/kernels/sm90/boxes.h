// The tensors as TMA sees them: three dimensions, the innermost contiguous, fetched and stored by
// boxes. Pure host code: no CUDA header.
//
//   x (B, T, I)        as (I, T, B), boxes of (64, 1, rows), or of 32 terms of 4 bytes
//   weight (T, I, O)   as (O, I, T), boxes of (64, 64, 1), or (32, 32, 1)
//   y, z (B, T, O)     as (O, T, B), boxes of (64, 1, rows), or of 32 columns
#pragma once

#include <cstdint>
#include <string>

#include "kernels/sm90/tiles.h"
#include "problem.h"

namespace per_step_dense::sm90 {

// What a tensor map is made of. Without padding, so that it can be compared bytewise.
struct BoxedTensor {
  void* data;
  int64_t extent[3];        // elements, the innermost first
  int64_t stride_bytes[2];  // of the second and the third dimension
  int32_t box[3];
  DType dtype;  // tfloat32 is rounded to as it is loaded
};

struct ForwardBoxes {
  BoxedTensor x, weight, y, z;  // z without data: absent
  // All steps may show the same elements, by a stride of 0: then the map has one step.
  bool x_has_steps, weight_has_steps;
};

// Why TMA cannot describe the tensors of a problem; empty where it can.
std::string why_no_boxes(const ForwardProblem& problem);

// Of a problem that TMA can describe, without a size of 0.
ForwardBoxes boxes_of(const ForwardProblem& problem, const TileInfo& tile);

}  // namespace per_step_dense::sm90
