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

// Of batches whose samples differ in length; ragged_rows.h says what `sizes` are. Their values are
// checked where they are read.
void check_ragged_forward(const at::Tensor& x,       // (R, I) or (B, T, I)
                          const at::Tensor& weight,  // (T, I, O)
                          const std::optional<at::Tensor>& bias,
                          const at::Tensor& sizes);  // (up to T) or (B)

void check_ragged_backward(const at::Tensor& dz,                     // (R, O) or (B, T, O)
                           const std::optional<at::Tensor>& x,       // (R, I) or (B, T, I)
                           const std::optional<at::Tensor>& weight,  // (T, I, O)
                           const at::Tensor& sizes, const c10::SymInt& steps);

// dweight and dbias are added to: in the elements' dtype, or for those of 16 bits in float32.
void check_backward_accumulate(const at::Tensor& dz,                      // (*, T, O)
                               const std::optional<at::Tensor>& x,        // (*, T, I)
                               const std::optional<at::Tensor>& weight,   // (T, I, O)
                               const std::optional<at::Tensor>& dweight,  // (T, I, O)
                               const std::optional<at::Tensor>& dbias);   // (T, O)

// The same tensors, where they have memory: what is added to may overlap nothing, as far as torch
// can tell.
void check_memory_of_accumulators(const at::Tensor& dz, const std::optional<at::Tensor>& x,
                                  const std::optional<at::Tensor>& weight,
                                  const std::optional<at::Tensor>& dweight,
                                  const std::optional<at::Tensor>& dbias);

// Refuses what is negated when it is read.
void check_may_be_added_to(const char* name, const std::optional<at::Tensor>& tensor);

void check_activation_backward(const at::Tensor& dy,      // any shape
                               const at::Tensor& saved);  // the shape of dy

// Whether 64 bits count what the product of x (or dz) with matrices of so many other features comes
// to, whatever tiles it is cut into. Expanded tensors may be larger than any memory.
void check_can_be_counted(const char* name, const at::Tensor& tensor, const c10::SymInt& features);

// Whether a family that was asked for can take tensors of this device; meta tensors stand for those
// of any device.
void check_kernel_fits_device(KernelFamily kernel, const char* name, const at::Tensor& tensor);

// Where torch.func or forward-mode AD come upon what writes into its arguments.
[[noreturn]] void refuse_to_transform_accumulation();

// Refuses a kernel that was asked for where only the composite can serve: `what`.
void check_composite_may_serve(KernelFamily kernel, const char* what);

}  // namespace per_step_dense
