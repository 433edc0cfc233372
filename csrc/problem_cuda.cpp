#include "problem_cuda.h"

#include "check.h"
#include "problem_of.h"

namespace per_step_dense::cuda {

using at::Tensor;

View3 input_view3(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {const_cast<void*>(tensor.const_data_ptr()),
          {tensor.stride(0), tensor.stride(1), tensor.stride(2)}};
}

View2 input_view2(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {const_cast<void*>(tensor.const_data_ptr()), {tensor.stride(0), tensor.stride(1)}};
}

ForwardProblem forward_problem(const Tensor& batch, const Tensor& weight,
                               const std::optional<Tensor>& bias, Activation activation,
                               bool wants_z) {
  check_can_be_counted("x", batch, weight.size(2));
  ForwardProblem problem{};
  problem.b = batch.size(0);
  problem.t = batch.size(1);
  problem.i = batch.size(2);
  problem.o = weight.size(2);
  problem.dtype = matmul_dtype(dtype_of(batch));
  problem.activation = activation;
  problem.x = input_view3(batch);
  problem.weight = input_view3(weight);
  if (bias) problem.bias = input_view2(*bias);
  problem.y = contiguous_view3(address_to_come(), problem.t, problem.o);
  if (wants_z) problem.z = problem.y;
  return problem;
}

BackwardProblem backward_problem(const Tensor& dz_batch, const Tensor& x_batch,
                                 const Tensor& weight, bool wants_dbias) {
  const int64_t features = weight.defined()    ? weight.size(1)
                           : x_batch.defined() ? x_batch.size(2)
                                               : 0;
  check_can_be_counted("dz", dz_batch, features);
  BackwardProblem problem{};
  problem.b = dz_batch.size(0);
  problem.t = dz_batch.size(1);
  problem.o = dz_batch.size(2);
  problem.dtype = matmul_dtype(dtype_of(dz_batch));
  problem.dz = input_view3(dz_batch);
  problem.x = input_view3(x_batch);
  problem.weight = input_view3(weight);
  problem.i = features;
  if (weight.defined()) problem.dx = contiguous_view3(address_to_come(), problem.t, problem.i);
  if (x_batch.defined())
    problem.dweight = contiguous_view3(address_to_come(), problem.i, problem.o);
  if (wants_dbias) problem.dbias = contiguous_view2(address_to_come(), problem.o);
  return problem;
}

}  // namespace per_step_dense::cuda
