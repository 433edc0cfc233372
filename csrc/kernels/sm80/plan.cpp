// From a choice to the shapes of its tiles, and what they come to.
#include "kernels/sm80/plan.h"

#include "kernels/sm80/tiles.h"
#include "kernels/sm80/work.h"
#include "kernels/tiled/coordinates.h"
#include "kernels/tiled/tiler.h"

namespace per_step_dense::sm80 {
namespace {

template <class Shape>
ShapeInfo shape_info() {
  constexpr size_t kNotesBytes = sizeof(tiled::StepSearch) + sizeof(tiled::Coordinates);
  return {Shape::kBlockM, Shape::kBlockN, Shape::kWarpM,
          Shape::kWarpN,  Shape::kStages, Shape::kPipelineBytes + kNotesBytes};
}

tiled::BlockShape block_shape(const ShapeInfo& info, int threads, DType dtype) {
  tiled::BlockShape shape{};
  shape.m = info.block_m;
  shape.n = info.block_n;
  shape.k = kBlockKBytes / int(bytes_of(dtype));
  shape.threads = threads;
  shape.realigns = true;
  shape.smem_bytes = info.smem_bytes;
  return shape;
}

}  // namespace

TileInfo tile_info(int index) {
  TileInfo info{};
  visit_type_at(Tiles{}, index, [&](auto tile) {
    using T = decltype(tile);
    info = {shape_info<typename T::Rows>(), shape_info<typename T::GradWeight>(), T::kThreads,
            T::kBlocksPerSm};
  });
  return info;
}

std::string why_not(const ForwardProblem& problem) {
  return why_no_tensor_cores("sm80", problem.dtype);
}
std::string why_not(const BackwardProblem& problem) {
  return why_no_tensor_cores("sm80", problem.dtype);
}

tiled::ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice,
                                void* workspace) {
  if (!is_tile(choice.tile) || !takes(problem.dtype)) return {};
  const TileInfo tile = tile_info(choice.tile);
  return tiled::forward_work(problem, choice, workspace,
                             block_shape(tile.rows, tile.threads, problem.dtype));
}

tiled::BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice,
                                  void* workspace) {
  if (!is_tile(choice.tile) || !takes(problem.dtype)) return {};
  const TileInfo tile = tile_info(choice.tile);
  return tiled::backward_work(problem, choice, workspace,
                              block_shape(tile.rows, tile.threads, problem.dtype),
                              block_shape(tile.grad_weight, tile.threads, problem.dtype));
}

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice) {
  return forward_work(problem, choice, nullptr).plan;
}

LaunchPlan plan(const BackwardProblem& problem, const Choice& choice) {
  return backward_work(problem, choice, nullptr).plan;
}

}  // namespace per_step_dense::sm80
