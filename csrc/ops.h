// What the ops look like in C++. Schemas and meaning: ops.cpp.
//
// The implementations, which aten.h and composite.h declare, are the same functions without
// the choice of a kernel.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string_view>
#include <tuple>

namespace per_step_dense {

using ForwardFunction = at::Tensor(const at::Tensor& x,                    // (*, T, I)
                                   const at::Tensor& weight,               // (T, I, O)
                                   const std::optional<at::Tensor>& bias,  // (T, O)
                                   std::string_view activation);           // y (*, T, O)

using ForwardWithPreactivationFunction =
    std::tuple<at::Tensor, at::Tensor>(const at::Tensor& x,                    // (*, T, I)
                                       const at::Tensor& weight,               // (T, I, O)
                                       const std::optional<at::Tensor>& bias,  // (T, O)
                                       std::string_view activation);           // y, z (*, T, O)

using BackwardFunction = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& dz,                     // (*, T, O)
    const std::optional<at::Tensor>& x,       // (*, T, I)
    const std::optional<at::Tensor>& weight,  // (T, I, O)
    bool wants_dbias);                        // dx, dweight, dbias; undefined where not wanted

// Of batches whose samples differ in length; ragged_rows.h says what `sizes` are. What is padding
// comes out zero.
using RaggedForwardFunction = at::Tensor(const at::Tensor& x,       // (R, I) or (B, T, I)
                                         const at::Tensor& weight,  // (T, I, O)
                                         const std::optional<at::Tensor>& bias,  // (T, O)
                                         const at::Tensor& sizes,                // (up to T) or (B)
                                         std::string_view activation);  // y (R, O) or (B, T, O)

using RaggedForwardWithPreactivationFunction = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    const at::Tensor& sizes, std::string_view activation);  // y, z

using RaggedBackwardFunction = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& dz,                     // (R, O) or (B, T, O)
    const std::optional<at::Tensor>& x,       // (R, I) or (B, T, I)
    const std::optional<at::Tensor>& weight,  // (T, I, O)
    const at::Tensor& sizes,
    int64_t steps,      // T
    bool wants_dbias);  // dx, dweight, dbias; undefined where not wanted

using BackwardAccumulateFunction =
    at::Tensor(const at::Tensor& dz,                      // (*, T, O)
               const std::optional<at::Tensor>& x,        // (*, T, I), given where dweight is
               const std::optional<at::Tensor>& weight,   // (T, I, O)
               const std::optional<at::Tensor>& dweight,  // (T, I, O), added to
               const std::optional<at::Tensor>& dbias);   // (T, O), added to; dx, or undefined

using ActivationBackwardFunction = at::Tensor(const at::Tensor& dy,          // any shape
                                              const at::Tensor& saved,       // the shape of dy
                                              std::string_view activation);  // dz, likewise

// With `kernel`, the name of a family (the schemas call it so): "auto" leaves it to use_kernel, or
// else to the chooser.
using ForwardOp = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                             const std::optional<at::Tensor>& bias, std::string_view activation,
                             std::string_view kernel);

using ForwardWithPreactivationOp = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    std::string_view activation, std::string_view kernel);

using BackwardOp = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, bool wants_dbias, std::string_view kernel);

using RaggedForwardOp = at::Tensor(const at::Tensor& x, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, const at::Tensor& sizes,
                                   std::string_view activation, std::string_view kernel);

using RaggedForwardWithPreactivationOp = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
    const at::Tensor& sizes, std::string_view activation, std::string_view kernel);

using RaggedBackwardOp = std::tuple<at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, const at::Tensor& sizes, c10::SymInt steps,
    bool wants_dbias, std::string_view kernel);

using BackwardAccumulateOp = at::Tensor(const at::Tensor& dz, const std::optional<at::Tensor>& x,
                                        const std::optional<at::Tensor>& weight,
                                        const std::optional<at::Tensor>& dweight,
                                        const std::optional<at::Tensor>& dbias,
                                        std::string_view kernel);

using ActivationBackwardOp = at::Tensor(const at::Tensor& dy, const at::Tensor& saved,
                                        std::string_view activation, std::string_view kernel);

// The ops as C++ calls them: through the dispatcher, so that autograd, autocast, functorch and
// tracing see every call.
namespace ops {
ForwardOp forward;
ForwardWithPreactivationOp forward_with_preactivation;
BackwardOp backward;
BackwardAccumulateOp backward_accumulate;
RaggedForwardOp ragged_forward;
RaggedForwardWithPreactivationOp ragged_forward_with_preactivation;
RaggedBackwardOp ragged_backward;
ActivationBackwardOp activation_backward;
}  // namespace ops

}  // namespace per_step_dense
