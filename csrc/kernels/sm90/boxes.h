// The tensors as TMA sees them: three dimensions, the innermost contiguous, fetched and stored by
// boxes whose rows are 128 bytes: 64 elements, or 32 of 4 bytes. Pure host code: no CUDA header.
//
//   x, y, z, dx, dz (B, T, F)   as (F, T, B), boxes of (64, 1, rows)
//   weight, dweight (T, I, O)   as (O, I, T), boxes of (64, rows, 1)
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

// Of a product's matrices.
struct ProductBoxes {
  BoxedTensor a, b, c, z;  // z without data: absent
  // All steps may show the same elements, by a stride of 0: then the map has one step.
  bool a_has_steps, b_has_steps;
};

// Why TMA cannot describe the tensors of a problem; empty where it can. Nothing is asked of the dz
// of a backward, which can be copied.
std::string why_no_boxes(const ForwardProblem& problem);
std::string why_no_boxes(const BackwardProblem& problem);
std::string why_no_box_of_dz(const BackwardProblem& problem);

// Of a problem that TMA can describe, without a size of 0.
ProductBoxes boxes_of(const ForwardProblem& problem, const TileInfo& tile);
ProductBoxes grad_input_boxes(const BackwardProblem& problem, const TileInfo& tile);
ProductBoxes grad_weight_boxes(const BackwardProblem& problem, const TileInfo& tile);

}  // namespace per_step_dense::sm90
