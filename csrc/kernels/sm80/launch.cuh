// Launching a work by the kernels of one element type. Each type has a source file of its own, so
// that they compile side by side.
#pragma once

#include "kernels/launch.cuh"
#include "kernels/sm80/gemm.cuh"

namespace per_step_dense::sm80 {

template <class Scalar>
cudaError_t launch_forward(const tiled::ForwardWork& work, int tile, cudaStream_t stream) {
  cudaError_t status = cudaErrorInvalidValue;
  visit_type_at(Tiles{}, tile, [&](auto type) {
    status = launch(forward_kernel<Scalar, decltype(type)>, work.plan.shape, work.tiles, stream);
  });
  return status;
}

template <class Scalar>
cudaError_t launch_backward(const tiled::BackwardWork& work, int tile, cudaStream_t stream) {
  cudaError_t status = cudaErrorInvalidValue;
  visit_type_at(Tiles{}, tile, [&](auto type) {
    status = launch(backward_kernel<Scalar, decltype(type)>, work.plan.shape, work.tiles, stream);
  });
  return status;
}

}  // namespace per_step_dense::sm80
