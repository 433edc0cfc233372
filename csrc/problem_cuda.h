// From CUDA tensors to problems whose outputs are yet to come.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "problem.h"

namespace per_step_dense::cuda {

// The kernels' views of inputs, which they only read (and a lazily copied tensor stays uncopied).
// An undefined tensor becomes an absent view.
View3 input_view3(const at::Tensor& tensor);
View2 input_view2(const at::Tensor& tensor);

// `batch` is x with its leading dimensions joined.
ForwardProblem forward_problem(const at::Tensor& batch,   // (B, T, I)
                               const at::Tensor& weight,  // (T, I, O)
                               const std::optional<at::Tensor>& bias, Activation activation,
                               bool wants_z);

// `dz_batch` and `x_batch` have their leading dimensions joined; what is undefined is not there.
BackwardProblem backward_problem(const at::Tensor& dz_batch,  // (B, T, O)
                                 const at::Tensor& x_batch,   // (B, T, I)
                                 const at::Tensor& weight,    // (T, I, O)
                                 bool wants_dbias);

}  // namespace per_step_dense::cuda
