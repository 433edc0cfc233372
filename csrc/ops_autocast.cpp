// Autocast as torch.nn.functional.linear has it: every argument but float64 becomes the active
// autocast dtype. The other ops follow the dtypes their forward ran in.
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include <utility>

#include "autocast.h"
#include "ops.h"

namespace per_step_dense {
namespace {

using at::Tensor;

// Switches it off while it lives, and casts as it does.
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

// An op in the dtypes it is given, whatever its kernel is made of: torch's own products are cast.
template <c10::DeviceType kDevice, auto* kOp>
struct AsGiven;

template <c10::DeviceType kDevice, typename Result, typename... Arguments,
          Result (*kOp)(Arguments...)>
struct AsGiven<kDevice, kOp> {
  static Result call(Arguments... arguments) {
    const WithoutAutocast<kDevice> off;
    return kOp(std::forward<Arguments>(arguments)...);
  }
};

template <c10::DeviceType kDevice>
void implement(torch::Library& m) {
  m.impl("forward", forward<kDevice>);
  m.impl("forward_with_preactivation", AsGiven<kDevice, ops::forward_with_preactivation>::call);
  m.impl("backward", AsGiven<kDevice, ops::backward>::call);
  m.impl("backward_accumulate", AsGiven<kDevice, ops::backward_accumulate>::call);
  m.impl("activation_backward", AsGiven<kDevice, ops::activation_backward>::call);
  m.impl("ragged_forward", ragged_forward<kDevice>);
  m.impl("ragged_forward_with_preactivation",
         AsGiven<kDevice, ops::ragged_forward_with_preactivation>::call);
  m.impl("ragged_backward", AsGiven<kDevice, ops::ragged_backward>::call);
}

}  // namespace

std::optional<at::ScalarType> autocast_dtype(const Tensor& tensor) {
  const c10::DeviceType device = tensor.device().type();
  const bool casts = at::autocast::is_autocast_available(device) &&
                     at::autocast::is_autocast_enabled(device) &&
                     tensor.scalar_type() != at::kDouble;
  return casts ? std::optional(at::autocast::get_autocast_dtype(device)) : std::nullopt;
}

}  // namespace per_step_dense

TORCH_LIBRARY_IMPL(per_step_dense, AutocastCPU, m) {
  per_step_dense::implement<c10::DeviceType::CPU>(m);
}

TORCH_LIBRARY_IMPL(per_step_dense, AutocastCUDA, m) {
  per_step_dense::implement<c10::DeviceType::CUDA>(m);
}
