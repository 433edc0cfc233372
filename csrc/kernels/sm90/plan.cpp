// From a choice to the order of its tiles, and what that comes to.
#include "kernels/sm90/plan.h"

#include <algorithm>
#include <limits>

#include "kernels/sm90/boxes.h"
#include "kernels/sm90/shared_storage.h"
#include "kernels/sm90/tiles.h"
#include "kernels/sm90/work.h"

namespace per_step_dense::sm90 {
namespace {

template <class Tile>
constexpr size_t smem_bytes_of() {
  static_assert(sizeof(SharedStorage<Tile>) <= kMostSmemBytes, "or no block can be launched");
  return sizeof(SharedStorage<Tile>);
}

constexpr int kLeastSide = 64;  // of a tile

// Beyond it, numbers of tiles and of what comes after the last one leave 32 bits.
constexpr int64_t kMostItems = int64_t{1} << 30;

int64_t tiles_of(const Gemm& gemm, int block_m, int block_n, int splits) {
  return gemm.t * ceil_div(gemm.m, block_m) * ceil_div(gemm.n, block_n) * splits;
}

// Guesses, to be measured: weights that surely stay in L2 beside everything else, rows so short
// that reading them alone wastes what a page of memory has beside them, and the columns of a band,
// which are about as many as the rows that 132 blocks work on meanwhile.
constexpr int64_t kWeightBytesInL2 = 16 << 20, kShortRowBytes = 1024, kBandColumns = 2048;

bool has_steps_inside(const Gemm& gemm, int64_t element_bytes) {
  const int64_t row_bytes = gemm.k * element_bytes;
  const int64_t weight_bytes = gemm.b.stride_t == 0 ? 0 : gemm.t * gemm.n * row_bytes;
  return gemm.a.stride_t == gemm.k && row_bytes <= kShortRowBytes &&
         weight_bytes <= kWeightBytesInL2;
}

LaunchPlan plan_of(const TileOrder& order, const TileInfo& tile, int32_t sms,
                   size_t workspace_bytes) {
  LaunchPlan plan{};
  const int32_t clusters = std::clamp(sms / tile.cluster, 1, order.items);
  plan.shape = {unsigned(clusters * tile.cluster), unsigned(tile.threads), tile.smem_bytes,
                unsigned(tile.cluster)};
  plan.workspace_bytes = workspace_bytes;
  plan.launches = workspace_bytes > 0 ? 2 : 1;
  return plan;
}

}  // namespace

TileInfo tile_info(int index, DType dtype) {
  TileInfo info{};
  const auto set = [&](auto tile) {
    using T = decltype(tile);
    info = {T::kElementBytes, T::kBlockM,       T::kBlockN,   T::kBlockK,
            T::kConsumers,    T::kConsumerRows, T::kPingpong, T::kSwapsOperands,
            T::kStages,       T::kCluster,      T::kThreads,  smem_bytes_of<T>()};
  };
  has_16_bits(dtype) ? visit_type_at(TilesOf16Bits{}, index, set)
                     : visit_type_at(TilesOfTf32{}, index, set);
  return info;
}

TileOrder order_of(const Gemm& gemm, const TileInfo& tile, int splits) {
  TileOrder order{};
  const int64_t k_blocks = ceil_div(gemm.k, tile.block_k);
  const int64_t k_blocks_a_split = ceil_div(k_blocks, std::max(splits, 1));
  order.k_blocks = int32_t(k_blocks);
  order.k_blocks_a_split = int32_t(k_blocks_a_split);
  order.splits = int32_t(ceil_div(k_blocks, k_blocks_a_split));
  order.steps = int32_t(gemm.t);
  order.tiles_n = int32_t(ceil_div(gemm.n, tile.block_n));
  order.rows_of_tiles = int32_t(ceil_div(ceil_div(gemm.m, tile.block_m), tile.cluster));
  order.items = order.steps * order.tiles_n * order.rows_of_tiles * order.splits;
  order.steps_inside = has_steps_inside(gemm, tile.element_bytes);
  order.band = int32_t(kBandColumns / tile.block_n);
  return order;
}

std::string why_not(const ForwardProblem& problem) {
  const std::string no_tensor_cores = why_no_tensor_cores("sm90", problem.dtype);
  if (!no_tensor_cores.empty()) return no_tensor_cores;
  if (problem.rows.begin) return "sm90 needs every step to have all rows";
  if (problem.i == 0) return "sm90 needs terms to add up: I = 0";
  const std::string obstacle = why_no_boxes(problem);
  if (!obstacle.empty()) return obstacle;
  // The smallest tile makes the most; so would splits that leave each of them one stage of terms.
  const int64_t splits = ceil_div(problem.i, kRowBytes / bytes_of(problem.dtype));
  const int64_t items = tiles_of(forward_product(problem), kLeastSide, kLeastSide, 1);
  if (items > kMostItems / splits) return "sm90 needs fewer tiles: more than 2^30";
  return "";
}

std::string why_not(const BackwardProblem&) { return "sm90 computes no gradients yet"; }

ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice, void* workspace) {
  ForwardWork work{};
  work.gemm = forward_product(problem);
  const bool is_empty = problem.b == 0 || problem.t == 0 || problem.o == 0;
  if (is_empty) return work;
  const TileInfo tile = tile_info(choice.tile, problem.dtype);
  work.order = order_of(work.gemm, tile, choice.splits[kForward]);
  SplitWorkspace parts(workspace, problem.dtype);
  if (work.order.splits > 1) {
    work.is_split = true;
    work.part_elems = part_elems(work.gemm);
    work.sums.sum[kForward] = parts.leave_parts(work.gemm, work.order.splits);
  }
  work.plan = plan_of(work.order, tile, choice.sms, parts.bytes());
  return work;
}

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice) {
  if (!is_tile(problem.dtype, choice.tile) || !why_not(problem).empty()) return {};
  return forward_work(problem, choice, nullptr).plan;
}

}  // namespace per_step_dense::sm90
