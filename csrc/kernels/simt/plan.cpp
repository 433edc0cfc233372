// From a choice to the shapes of its tiles, and what they come to.
#include "kernels/simt/plan.h"

#include "kernels/simt/tiles.h"
#include "kernels/simt/work.h"
#include "kernels/tiled/coordinates.h"
#include "kernels/tiled/products.h"
#include "kernels/tiled/tiler.h"

namespace per_step_dense::simt {
namespace {

// Of tiles that lie so in shared memory; config.cuh lays them out.
size_t operand_bytes(int rows, tiled::Major major, int64_t element_bytes) {
  const int64_t block_k = kBlockKBytes / element_bytes;
  const int64_t lines = major == tiled::Major::kK ? rows : block_k;
  const int64_t elems = major == tiled::Major::kK ? block_k : rows;
  return size_t(lines * (elems * element_bytes + 16));
}

template <class Product>
tiled::BlockShape block_shape(DType dtype, int index) {
  const TileInfo tile = tile_info(index, dtype);
  const int bytes = int(bytes_of(dtype));
  tiled::BlockShape shape{};
  shape.m = tile.block_m;
  shape.n = tile.block_n;
  shape.k = kBlockKBytes / bytes;
  shape.threads = tile.threads;
  const size_t stage_bytes = operand_bytes(shape.m, Product::kMajorA, bytes) +
                             operand_bytes(shape.n, Product::kMajorB, bytes);
  constexpr size_t kNotesBytes = sizeof(tiled::StepSearch) + sizeof(tiled::Coordinates);
  shape.smem_bytes = size_t(tile.stages) * stage_bytes + kNotesBytes;
  return shape;
}

}  // namespace

tiled::ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice,
                                void* workspace) {
  if (!is_tile(choice.tile)) return {};
  return tiled::forward_work(problem, choice, workspace,
                             block_shape<tiled::Forward>(problem.dtype, choice.tile));
}

tiled::BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice,
                                  void* workspace) {
  if (!is_tile(choice.tile)) return {};
  return tiled::backward_work(problem, choice, workspace,
                              block_shape<tiled::GradInput>(problem.dtype, choice.tile),
                              block_shape<tiled::GradWeight>(problem.dtype, choice.tile));
}

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice) {
  return forward_work(problem, choice, nullptr).plan;
}

LaunchPlan plan(const BackwardProblem& problem, const Choice& choice) {
  return backward_work(problem, choice, nullptr).plan;
}

}  // namespace per_step_dense::simt
