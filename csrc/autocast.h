#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace per_step_dense {

// What autocast, where it is in force, makes of the tensor's elements before the op sees them.
std::optional<at::ScalarType> autocast_dtype(const at::Tensor& tensor);

}  // namespace per_step_dense
