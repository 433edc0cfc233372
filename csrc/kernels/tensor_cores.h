// What tensor cores multiply, for the families that use them. Pure host code.
#pragma once

#include <string>

#include "problem.h"

namespace per_step_dense {

constexpr bool have_tensor_cores(DType dtype) {
  return has_16_bits(dtype) || dtype == DType::kTFloat32;
}

// Why a family does not take a dtype; empty where it does.
inline std::string why_no_tensor_cores(const char* family, DType dtype) {
  if (have_tensor_cores(dtype)) return "";
  return std::string(family) +
         " needs float16, bfloat16, or float32 where torch.backends.cuda.matmul.fp32_precision is "
         "'tf32'; got " +
         name_of(dtype) + (dtype == DType::kFloat32 ? " in IEEE precision" : "");
}

}  // namespace per_step_dense
