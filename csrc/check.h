// What the arguments of the ops must be. Every violation is a ValueError or a TypeError that names
// the argument, what was expected and what came; per_step_dense/_checks.py says the same words.
//
// Sizes are compared as symbols, so that the checks also hold while torch.compile and torch.export
// trace dynamic shapes.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>

#include "activation.h"
#include "choice.h"

namespace per_step_dense {

Activation parse_activation(std::string_view name);

void check_forward(const at::Tensor& x,                     // (*, T, I)
                   const at::Tensor& weight,                // (T, I, O)
                   const std::optional<at::Tensor>& bias);  // (T, O)

void check_backward(const at::Tensor& dz,                      // (*, T, O)
                    const std::optional<at::Tensor>& x,        // (*, T, I)
                    const std::optional<at::Tensor>& weight);  // (T, I, O)

void check_activation_backward(const at::Tensor& dy,      // any shape
                               const at::Tensor& saved);  // the shape of dy

// Whether a family that was asked for can take tensors of this device; meta tensors stand for those
// of any device.
void check_kernel_fits_device(KernelFamily kernel, const char* name, const at::Tensor& tensor);

// Refuses a kernel that was asked for where only the composite can serve.
void check_composite_may_serve(KernelFamily kernel);

}  // namespace per_step_dense
