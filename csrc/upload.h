// Numbers from the host to a device, without waiting for it.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace per_step_dense {

// As one copy; each as a tensor of int64, one dimension.
std::vector<at::Tensor> upload(const std::vector<std::vector<int64_t>>& lists, at::Device device);

}  // namespace per_step_dense
