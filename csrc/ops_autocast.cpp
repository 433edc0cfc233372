// Autocast as torch.nn.functional.linear has it: every argument but float64 becomes the active
// autocast dtype. The gradient ops follow the dtypes their forward ran in.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "ops.h"

namespace per_step_dense {
namespace {

using at::Tensor;

template <c10::DeviceType kDevice>
Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(
      at::autocast::get_autocast_dispatch_key_from_device_type(kDevice));
  const at::ScalarType dtype = at::autocast::get_autocast_dtype(kDevice);
  const auto cast = [dtype](const Tensor& tensor) {
    return at::autocast::cached_cast(dtype, tensor, kDevice);
  };
  return ops::forward(cast(x), cast(weight), bias ? std::optional(cast(*bias)) : std::nullopt,
                      activation, kernel);
}

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, AutocastCPU, m) {
  m.impl("forward", per_step_dense::forward<c10::DeviceType::CPU>);
}

TORCH_LIBRARY_IMPL(per_step_dense, AutocastCUDA, m) {
  m.impl("forward", per_step_dense::forward<c10::DeviceType::CUDA>);
}
