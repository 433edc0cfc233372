#include "kernels/simt/launch.cuh"

namespace per_step_dense::simt {
template cudaError_t launch_forward<__half>(const ForwardWork&, int, cudaStream_t);
template cudaError_t launch_backward<__half>(const BackwardWork&, int, cudaStream_t);
}  // namespace per_step_dense::simt
