// Host code of the family: a problem becomes work and tensor maps, the work launches.
#include <type_traits>

#include "kernels/activation_backward.h"
#include "kernels/scalar.cuh"
#include "kernels/sm90/boxes.h"
#include "kernels/sm90/params.h"
#include "kernels/sm90/plan.h"
#include "kernels/sm90/sm90.h"
#include "kernels/sm90/tensor_map.h"
#include "kernels/sm90/tiles.h"
#include "kernels/sm90/work.h"
#include "kernels/split_sum.h"

namespace per_step_dense::sm90 {

// Defined per element type in files of their own.
template <class Scalar, class Params>
cudaError_t launch_tile(const Params& params, const LaunchShape& shape, int tile,
                        cudaStream_t stream);

namespace {

// Parts of split sums, and what is added to, consumers store themselves. Without rows, there are
// column sums alone.
cudaError_t encode_tensor_maps(const ProductBoxes& boxes, ProductParams& params) {
  struct Wanted {
    const BoxedTensor& tensor;
    CUtensorMap& map;
    bool is_wanted;
  };
  const bool has_rows = params.gemm.m > 0;
  const bool stores_boxes =
      has_rows && !params.is_split && params.gemm.accumulation == Accumulation::kOverwrite;
  for (const Wanted& wanted : {Wanted{boxes.a, params.a, has_rows}, Wanted{boxes.b, params.b, true},
                               Wanted{boxes.c, params.c, stores_boxes && boxes.c.data},
                               Wanted{boxes.z, params.z, stores_boxes && boxes.z.data}}) {
    if (!wanted.is_wanted) continue;
    const cudaError_t status = encode_tensor_map(wanted.tensor, wanted.map);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

cudaError_t set_params(const TiledProduct& product, const ProductBoxes& boxes,
                       ProductParams& params) {
  static_cast<TiledProduct&>(params) = product;
  params.a_has_steps = boxes.a_has_steps;
  params.rows_of_a = boxes.a.box[2];
  params.b_has_steps = boxes.b_has_steps;
  return encode_tensor_maps(boxes, params);
}

// Of a product whose b is the weight.
bool reads_weight_once(const ProductParams& params) {
  return params.order.rows_of_tiles == 1 && params.b_has_steps;
}

cudaError_t set_params(const ForwardProblem& problem, const ForwardWork& work, const TileInfo& tile,
                       ProductParams& params) {
  const cudaError_t status = set_params(work.product, boxes_of(problem, tile), params);
  params.reads_b_once = reads_weight_once(params);
  return status;
}

cudaError_t set_params(const BackwardProblem&, const BackwardWork& work, const TileInfo& tile,
                       GradInputParams& params) {
  const cudaError_t status =
      set_params(work.grad_input, grad_input_boxes(work.problem, tile), params);
  params.reads_b_once = reads_weight_once(params);
  return status;
}

cudaError_t set_params(const BackwardProblem& problem, const BackwardWork& work,
                       const TileInfo& tile, BackwardParams& params) {
  params.order = work.order;
  cudaError_t status = cudaSuccess;
  if (work.grad_input.order.items > 0) status = set_params(problem, work, tile, params.grad_input);
  if (status == cudaSuccess && work.grad_weight.order.items > 0) {
    status =
        set_params(work.grad_weight, grad_weight_boxes(work.problem, tile), params.grad_weight);
  }
  return status;
}

template <class Params>
cudaError_t launch(const Params& params, const LaunchShape& shape, DType dtype, int tile,
                   cudaStream_t stream) {
  if constexpr (!std::is_base_of_v<GradInputParams, Params>) {
    if (dtype == DType::kFloat16) return launch_tile<__half>(params, shape, tile, stream);
    if (dtype == DType::kBFloat16) return launch_tile<__nv_bfloat16>(params, shape, tile, stream);
  }
  if constexpr (std::is_base_of_v<ProductParams, Params>) {
    if (dtype == DType::kTFloat32) return launch_tile<float>(params, shape, tile, stream);
  }
  return cudaErrorInvalidValue;
}

TileInfo tile_of(const ForwardProblem& problem, const Choice& choice) {
  return tile_info(choice.tile, problem.dtype);
}
TileInfo tile_of(const BackwardProblem& problem, const Choice& choice) {
  return backward_tile_info(choice.tile, problem.dtype);
}

template <class Params, class Problem, class Work>
cudaError_t describe_and_launch(Params& params, const Problem& problem, const Work& work,
                                const Choice& choice, cudaStream_t stream) {
  const cudaError_t status = set_params(problem, work, tile_of(problem, choice), params);
  if (status != cudaSuccess) return status;
  return launch(params, work.plan.shape, problem.dtype, choice.tile, stream);
}

// The main launch, and one more where sums were split.
template <class Params, class Problem, class Work>
cudaError_t run(const Problem& problem, const Work& work, const Choice& choice,
                cudaStream_t stream) {
  if constexpr (!std::is_same_v<Params, GradInputParams>) {
    if (problem.rows.begin) {
      Ranged<Params> params{{}, problem.rows, problem.b, int32_t(problem.t)};
      return describe_and_launch(params, problem, work, choice, stream);
    }
  }
  Params params{};
  const cudaError_t status = describe_and_launch(params, problem, work, choice, stream);
  return status == cudaSuccess ? add_up_splits(problem.dtype, work.sums, stream) : status;
}

template <class Params, class Problem, class Work>
bool can_describe(const Problem& problem, const Work& work, const Choice& choice) {
  if (work.plan.launches == 0) return true;  // nothing would be described
  Params params{};
  return set_params(problem, work, tile_of(problem, choice), params) == cudaSuccess;
}

// No address, but one with the alignment of what is allocated later.
void* workspace_to_come() { return reinterpret_cast<void*>(uintptr_t{512}); }

template <class Problem>
bool is_legal(const Problem& problem, const Choice& choice) {
  return has_tile(problem.dtype, problem.rows, choice.tile) && why_not(problem).empty();
}

}  // namespace

bool can_describe(const ForwardProblem& problem, const Choice& choice) {
  const ForwardWork work = forward_work(problem, choice, workspace_to_come());
  return can_describe<ProductParams>(problem, work, choice);
}

bool can_describe(const BackwardProblem& problem, const Choice& choice) {
  const BackwardWork work = backward_work(problem, choice, workspace_to_come());
  return can_describe<BackwardParams>(problem, work, choice);
}

cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream) {
  if (!is_legal(problem, choice)) return cudaErrorInvalidValue;
  const ForwardWork work = forward_work(problem, choice, workspace);
  if (work.plan.launches == 0) return cudaSuccess;
  return run<ProductParams>(problem, work, choice, stream);
}

cudaError_t backward(const BackwardProblem& problem, const Choice& choice, void* workspace,
                     cudaStream_t stream) {
  if (!is_legal(problem, choice)) return cudaErrorInvalidValue;
  const BackwardWork work = backward_work(problem, choice, workspace);
  if (work.plan.launches == 0) return cudaSuccess;
  const cudaError_t status = activation_backward(work.copy_of_dz, stream);
  if (status != cudaSuccess) return status;
  return has_16_bits(problem.dtype) ? run<BackwardParams>(problem, work, choice, stream)
                                    : run<GradInputParams>(problem, work, choice, stream);
}

}  // namespace per_step_dense::sm90
