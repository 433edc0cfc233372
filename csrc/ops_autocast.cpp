// Autocast as torch.nn.functional.linear has it: every argument but float64 becomes the active
// autocast dtype. The gradient ops follow the dtypes their forward ran in.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include "ops.h"

namespace per_step_dense {
namespace {

using at::Tensor;

// Casts as autocast does, and switches it off while it lives.
template <c10::DeviceType kDevice>
class WithoutAutocast {
 public:
  Tensor operator()(const Tensor& tensor) const {
    return at::autocast::cached_cast(dtype_, tensor, kDevice);
  }
  std::optional<Tensor> operator()(const std::optional<Tensor>& tensor) const {
    return tensor ? std::optional((*this)(*tensor)) : std::nullopt;
  }

 private:
  c10::impl::ExcludeDispatchKeyGuard guard_{
      at::autocast::get_autocast_dispatch_key_from_device_type(kDevice)};
  at::ScalarType dtype_ = at::autocast::get_autocast_dtype(kDevice);
};

template <c10::DeviceType kDevice>
Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation, std::string_view kernel) {
  const WithoutAutocast<kDevice> cast;
  return ops::forward(cast(x), cast(weight), cast(bias), activation, kernel);
}

template <c10::DeviceType kDevice>
Tensor ragged_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                      const Tensor& sizes, std::string_view activation, std::string_view kernel) {
  const WithoutAutocast<kDevice> cast;
  return ops::ragged_forward(cast(x), cast(weight), cast(bias), sizes, activation, kernel);
}

}  // namespace
}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, AutocastCPU, m) {
  m.impl("forward", per_step_dense::forward<c10::DeviceType::CPU>);
  m.impl("ragged_forward", per_step_dense::ragged_forward<c10::DeviceType::CPU>);
}

TORCH_LIBRARY_IMPL(per_step_dense, AutocastCUDA, m) {
  m.impl("forward", per_step_dense::forward<c10::DeviceType::CUDA>);
  m.impl("ragged_forward", per_step_dense::ragged_forward<c10::DeviceType::CUDA>);
}
