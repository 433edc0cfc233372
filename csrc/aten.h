// The ops in ATen's batched products, not differentiable and contiguous: the CPU implementation,
// and that of every device and dtype for which there is no kernel of this package.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>

namespace per_step_dense::aten {

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

}  // namespace per_step_dense::aten
