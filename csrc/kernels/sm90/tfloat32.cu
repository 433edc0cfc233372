#include "kernels/sm90/launch.cuh"

namespace per_step_dense::sm90 {
template cudaError_t launch_tile<float>(const ProductParams&, const LaunchShape&, int,
                                        cudaStream_t);
template cudaError_t launch_tile<float>(const GradInputParams&, const LaunchShape&, int,
                                        cudaStream_t);
template cudaError_t launch_tile<float>(const Ranged<ProductParams>&, const LaunchShape&, int,
                                        cudaStream_t);
}  // namespace per_step_dense::sm90
