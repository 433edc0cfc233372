#include "kernels/sm80/launch.cuh"

namespace per_step_dense::sm80 {
template cudaError_t launch_forward<__half>(const tiled::ForwardWork&, int, cudaStream_t);
template cudaError_t launch_backward<__half>(const tiled::BackwardWork&, int, cudaStream_t);
}  // namespace per_step_dense::sm80
