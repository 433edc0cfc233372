// How the matrices of each product lie in the tensors that TMA knows. Pure host code.
#pragma once

#include "kernels/tiled/products.h"

namespace per_step_dense::sm90 {

using tiled::Major;

// Tensors of rows are (F, T, B), the innermost dimension first: x, y, z and their gradients. Those
// of weights are (O, I, T): the weight and its gradient.
enum class TensorKind { kRows, kWeight };

struct Forward : tiled::Forward {
  static constexpr TensorKind kTensorA = TensorKind::kRows, kTensorB = TensorKind::kWeight,
                              kTensorC = TensorKind::kRows;
  static constexpr bool kSumsColumns = false;
};
struct GradInput : tiled::GradInput {
  static constexpr TensorKind kTensorA = TensorKind::kRows, kTensorB = TensorKind::kWeight,
                              kTensorC = TensorKind::kRows;
  static constexpr bool kSumsColumns = false;
};
struct GradWeight : tiled::GradWeight {
  static constexpr TensorKind kTensorA = TensorKind::kRows, kTensorB = TensorKind::kRows,
                              kTensorC = TensorKind::kWeight;
  static constexpr bool kSumsColumns = true;
};

}  // namespace per_step_dense::sm90
