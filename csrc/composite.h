// The ops in differentiable ATen operations: what functorch transforms and forward-mode AD see,
// which cannot look into a C++ autograd function.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>

#include "activation.h"

namespace per_step_dense::composite {

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

// The activations themselves, for every implementation that is made of ATen operations.
at::Tensor activate(const at::Tensor& z, Activation activation);
at::Tensor activation_gradient(const at::Tensor& dy, const at::Tensor& saved,
                               Activation activation);

}  // namespace per_step_dense::composite
