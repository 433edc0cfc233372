#include "kernels/launch.cuh"
#include "kernels/wgmma_gemm.cuh"

namespace per_step_dense::example {
namespace {

constexpr cuuint64_t kElementBytes = sizeof(__nv_bfloat16);

// A contiguous (outer, middle, inner) tensor in boxes of rows of 64 elements.
bool encode(CUtensorMap& map, const void* data, cuuint64_t outer, cuuint64_t middle,
            cuuint64_t inner, cuuint32_t box_outer, cuuint32_t box_middle) {
  const cuuint64_t extents[] = {inner, middle, outer};
  const cuuint64_t strides[] = {inner * kElementBytes, middle * inner * kElementBytes};
  const cuuint32_t box[] = {64, box_middle, box_outer};
  const cuuint32_t element_strides[] = {1, 1, 1};
  return cuTensorMapEncodeTiled(
             &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void*>(data), extents, strides,
             box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <class Config>
cudaError_t run(const GemmProblem& problem, cudaStream_t stream) {
  const auto b = cuuint64_t(problem.b), t = cuuint64_t(problem.t);
  const auto i = cuuint64_t(problem.i), o = cuuint64_t(problem.o);
  WgmmaParams params{};
  if (!encode(params.x, problem.x, b, t, i, Config::kBlockM, 1) ||
      !encode(params.weight, problem.weight, t, i, o, 1, 64) ||
      !encode(params.y, problem.y, b, t, o, 64, 1)) {
    return cudaErrorInvalidValue;
  }
  params.bias = problem.bias;
  params.i = problem.i;
  params.o = problem.o;
  params.tiles_m = ceil_div(problem.b, Config::kBlockM);
  params.tiles_n = ceil_div(problem.o, Config::kColumns);
  const int tiles = problem.t * params.tiles_m * params.tiles_n;
  const LaunchShape shape{unsigned(tiles), Config::kThreads, sizeof(WgmmaStorage<Config>)};
  return launch(wgmma_gemm_kernel<Config>, shape, params, stream);
}

}  // namespace

cudaError_t wgmma_gemm(const GemmProblem& problem, int columns, int consumers,
                       cudaStream_t stream) {
  if (columns == 64 && consumers == 1) return run<WgmmaConfig<64, 1>>(problem, stream);
  if (columns == 128 && consumers == 1) return run<WgmmaConfig<128, 1>>(problem, stream);
  if (columns == 128 && consumers == 2) return run<WgmmaConfig<128, 2>>(problem, stream);
  return cudaErrorInvalidValue;
}

}  // namespace per_step_dense::example
