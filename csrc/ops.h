// The ops as C++ calls them: through the dispatcher, so that autograd, autocast, functorch and
// tracing see every call. Schemas and meaning: ops.cpp.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>

namespace per_step_dense::ops {

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight,
                   const std::optional<at::Tensor>& bias, std::string_view activation);

std::tuple<at::Tensor, at::Tensor> forward_with_preactivation(const at::Tensor& x,
                                                              const at::Tensor& weight,
                                                              const std::optional<at::Tensor>& bias,
                                                              std::string_view activation);

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& dz,
                                                        const std::optional<at::Tensor>& x,
                                                        const std::optional<at::Tensor>& weight,
                                                        bool wants_dbias);

at::Tensor activation_backward(const at::Tensor& dy, const at::Tensor& saved,
                               std::string_view activation);

}  // namespace per_step_dense::ops
