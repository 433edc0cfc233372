// Host code of the family: a problem becomes work and tensor maps, the work launches.
#include <type_traits>

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
template <class Scalar>
cudaError_t launch_forward(const ForwardParams& params, const LaunchShape& shape, int tile,
                           cudaStream_t stream);

namespace {

// Where the sum is split, outputs are parts, which consumers store themselves.
cudaError_t encode_tensor_maps(const ForwardBoxes& boxes, bool is_split, ForwardParams& params) {
  struct Wanted {
    const BoxedTensor& tensor;
    CUtensorMap& map;
    bool is_wanted;
  };
  for (const Wanted& wanted :
       {Wanted{boxes.x, params.x, true}, Wanted{boxes.weight, params.weight, true},
        Wanted{boxes.y, params.y, !is_split},
        Wanted{boxes.z, params.z, !is_split && boxes.z.data}}) {
    if (!wanted.is_wanted) continue;
    const cudaError_t status = encode_tensor_map(wanted.tensor, wanted.map);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

cudaError_t launch(const ForwardParams& params, const LaunchShape& shape, DType dtype, int tile,
                   cudaStream_t stream) {
  return visit_scalar(dtype, [&](auto tag) {
    using Scalar = typename decltype(tag)::type;
    if constexpr (std::is_same_v<Scalar, double>) {
      return cudaErrorInvalidValue;
    } else {
      return launch_forward<Scalar>(params, shape, tile, stream);
    }
  });
}

}  // namespace

bool can_describe(const ForwardProblem& problem, const Choice& choice) {
  if (plan(problem, choice).launches == 0) return true;  // nothing would be described
  ForwardParams params{};
  const ForwardBoxes boxes = boxes_of(problem, tile_info(choice.tile, problem.dtype));
  return encode_tensor_maps(boxes, /*is_split=*/false, params) == cudaSuccess;
}

cudaError_t forward(const ForwardProblem& problem, const Choice& choice, void* workspace,
                    cudaStream_t stream) {
  if (!is_tile(problem.dtype, choice.tile) || !why_not(problem).empty())
    return cudaErrorInvalidValue;
  const ForwardWork work = forward_work(problem, choice, workspace);
  if (work.plan.launches == 0) return cudaSuccess;
  const ForwardBoxes boxes = boxes_of(problem, tile_info(choice.tile, problem.dtype));
  ForwardParams params{};
  params.gemm = work.gemm;
  params.order = work.order;
  params.is_split = work.is_split;
  params.part_elems = work.part_elems;
  params.x_has_steps = boxes.x_has_steps;
  params.weight_has_steps = boxes.weight_has_steps;
  params.reads_weight_once = work.order.rows_of_tiles == 1 && boxes.weight_has_steps;
  cudaError_t status = encode_tensor_maps(boxes, work.is_split, params);
  if (status == cudaSuccess) {
    status = launch(params, work.plan.shape, problem.dtype, choice.tile, stream);
  }
  return status == cudaSuccess ? add_up_splits(problem.dtype, work.sums, stream) : status;
}

}  // namespace per_step_dense::sm90
