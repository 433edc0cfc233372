// Launching a work by the kernels of one element type. Each type has a source file of its own, so
// that they compile side by side.
#pragma once

#include <type_traits>

#include "kernels/launch.cuh"
#include "kernels/sm90/gemm.cuh"

namespace per_step_dense::sm90 {

template <class Tile, class Params>
using TileOfPass =
    std::conditional_t<std::is_base_of_v<GradInputParams, Params>, BackwardTile<Tile>, Tile>;

template <class Scalar, class Params>
cudaError_t launch_tile(const Params& params, const LaunchShape& shape, int tile,
                        cudaStream_t stream) {
  cudaError_t status = cudaErrorInvalidValue;
  visit_type_at(TilesOf<sizeof(Scalar)>{}, tile, [&](auto type) {
    using Tile = TileOfPass<decltype(type), Params>;
    if constexpr (!kIsRanged<Params> || kTakesRanges<Tile>) {
      status = launch(gemm_kernel<Scalar, Tile, Params>, shape, params, stream);
    }
  });
  return status;
}

}  // namespace per_step_dense::sm90
