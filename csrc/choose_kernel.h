// Which implementation computes a call.
#pragma once

#include <ATen/core/Tensor.h>

namespace per_step_dense {

enum class KernelFamily {
  kAten,  // ATen's batched products: CPU, and what no kernel of this package covers
  kSimt,
};

inline constexpr const char* kKernelFamilyNames[] = {"aten", "simt"};  // indexed by KernelFamily

inline KernelFamily choose_kernel([[maybe_unused]] const at::Tensor& x) {
#ifdef PSD_WITH_CUDA
  if (x.is_cuda() && x.scalar_type() == at::kFloat) return KernelFamily::kSimt;
#endif
  return KernelFamily::kAten;
}

}  // namespace per_step_dense
