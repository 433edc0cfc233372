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

template <class T>
TileInfo info_of() {
  return {T::kElementBytes, T::kBlockM,         T::kBlockN,        T::kBlockK, T::kConsumers,
          T::kConsumerRows, T::kPingpong,       T::kSwapsOperands, T::kStages, T::kCluster,
          T::kThreads,      smem_bytes_of<T>(), kTakesRanges<T>};
}

template <class Visit>
void visit_tile(int index, DType dtype, Visit&& visit) {
  has_16_bits(dtype) ? visit_type_at(TilesOf16Bits{}, index, visit)
                     : visit_type_at(TilesOfTf32{}, index, visit);
}

constexpr int kLeastSide = 64;  // of a tile

// Beyond it, numbers of tiles and of what comes after the last one leave 32 bits.
constexpr int64_t kMostItems = int64_t{1} << 30;

// Of all steps. Where their rows differ, so many at most.
int64_t rows_of_tiles(const Gemm& gemm, int block_m) {
  return gemm.m_ranges.begin ? most_tiles(gemm.m_ranges.total, gemm.t, block_m)
                             : gemm.t * ceil_div(gemm.m, block_m);
}

// Guesses, to be measured: weights that surely stay in L2 beside everything else, rows so short
// that reading them alone wastes what a page of memory has beside them, and the columns of a band,
// which are about as many as the rows that 132 blocks work on meanwhile.
constexpr int64_t kWeightBytesInL2 = 16 << 20, kShortRowBytes = 1024, kBandColumns = 2048;

bool has_steps_inside(const Gemm& gemm, int64_t element_bytes) {
  const int64_t row_bytes = gemm.k * element_bytes;
  const int64_t weight_bytes = gemm.b.stride_t == 0 ? 0 : gemm.t * gemm.n * row_bytes;
  const bool is_along_k = gemm.a.stride_k == 1;
  return is_along_k && gemm.a.stride_t == gemm.k && row_bytes <= kShortRowBytes &&
         weight_bytes <= kWeightBytesInL2;
}

// The grid of so many items.
LaunchShape shape_of(int64_t items, const TileInfo& tile, int32_t sms) {
  const int64_t clusters = std::clamp<int64_t>(sms / tile.cluster, 1, items);
  return {unsigned(clusters * tile.cluster), unsigned(tile.threads), tile.smem_bytes,
          unsigned(tile.cluster)};
}

// Cuts the products of a problem into tiles, and finds room for their parts.
class Cutter {
 public:
  Cutter(DType dtype, const TileInfo& tile, SplitWorkspace& workspace)
      : dtype_(dtype), tile_(tile), workspace_(workspace) {}

  TiledProduct cut(const Gemm& gemm, int splits, SplitSum& sum) {
    TiledProduct product{};
    product.gemm = gemm;
    if (!is_wanted(gemm)) return product;
    product.order = order_of(gemm, tile_, splits);
    product.stores_pairs = has_aligned_pairs(gemm);
    if (product.order.splits > 1) {
      product.is_split = true;
      product.part_elems = part_elems(gemm);
      product.column_sum_part_elems = column_sum_part_elems(gemm);
      sum = workspace_.leave_parts(product.gemm, product.order.splits);
      product.stores_pairs = true;
    }
    return product;
  }

 private:
  bool has_aligned_pairs(const Gemm& gemm) const {
    const bool is_float32 = gemm.accumulation == Accumulation::kAddFloat32;
    const int64_t bytes = 2 * (is_float32 ? sizeof(float) : bytes_of(dtype_));
    return gemm.c.stride_n == 1 && gemm.c.stride_m % 2 == 0 && gemm.c.stride_t % 2 == 0 &&
           reinterpret_cast<uintptr_t>(gemm.c.data) % bytes == 0;
  }

  DType dtype_;
  const TileInfo& tile_;
  SplitWorkspace& workspace_;
};

// What an item takes beside its sums, in blocks of terms.
constexpr int32_t kEpilogueBlocks = 4;

constexpr int32_t kMostRounds = 1 << 20;  // or places would leave 32 bits

// Of so many clusters. What a round of short items leaves over nobody waits for.
ListOrder list_order_of(const TileOrder& input, const TileOrder& weight, int32_t clusters) {
  ListOrder list{};
  list.is_grad_weight_first = weight.k_blocks_a_split >= input.k_blocks_a_split;
  const TileOrder& first = list.is_grad_weight_first ? weight : input;
  const TileOrder& second = list.is_grad_weight_first ? input : weight;
  list.clusters = clusters;
  list.long_items = first.items;
  list.clusters_with_last = first.items % clusters;
  list.rounds_apart = 1;
  if (list.clusters_with_last > 0) {
    const int32_t rounds =
        (first.k_blocks_a_split + kEpilogueBlocks) / (second.k_blocks_a_split + kEpilogueBlocks);
    const int32_t whole_rounds = second.items / (clusters - list.clusters_with_last);
    list.rounds_apart = std::clamp(std::min(rounds, whole_rounds), 1, kMostRounds);
  }
  list.numbers = first.items + second.items + (list.rounds_apart - 1) * list.clusters_with_last;
  return list;
}

}  // namespace

TileInfo tile_info(int index, DType dtype) {
  TileInfo info{};
  visit_tile(index, dtype, [&](auto tile) { info = info_of<decltype(tile)>(); });
  return info;
}

TileInfo backward_tile_info(int index, DType dtype) {
  TileInfo info{};
  visit_tile(index, dtype, [&](auto tile) { info = info_of<BackwardTile<decltype(tile)>>(); });
  return info;
}

TileOrder order_of(const Gemm& gemm, const TileInfo& tile, int splits) {
  TileOrder order{};
  const int64_t k_blocks = ceil_div(gemm.k, tile.block_k);
  const bool has_ranges = gemm.m_ranges.begin || gemm.k_ranges.begin;
  const int wanted_splits = has_ranges ? 1 : std::max(splits, 1);  // parts are of equal steps
  const int64_t k_blocks_a_split = ceil_div(k_blocks, wanted_splits);
  order.k_blocks = int32_t(k_blocks);
  order.k_blocks_a_split = int32_t(k_blocks_a_split);
  order.splits = int32_t(ceil_div(k_blocks, k_blocks_a_split));
  order.steps = int32_t(gemm.t);
  order.tiles_n = int32_t(ceil_div(gemm.n, tile.block_n));
  const int64_t tiles_m = ceil_div(gemm.m, tile.block_m);
  const bool sums_columns = gemm.column_sums.data != nullptr;  // also where there is no row
  order.rows_of_tiles = int32_t(std::max<int64_t>(ceil_div(tiles_m, tile.cluster), sums_columns));
  order.items = gemm.m_ranges.begin
                    ? int32_t(rows_of_tiles(gemm, tile.block_m)) * order.tiles_n
                    : order.steps * order.tiles_n * order.rows_of_tiles * order.splits;
  order.steps_inside = has_steps_inside(gemm, tile.element_bytes);
  order.band = int32_t(kBandColumns / tile.block_n);
  return order;
}

namespace {

// The smallest tile makes the most; so would splits that leave each of them one stage of terms.
double most_items(const Gemm& gemm, DType dtype) {
  if (!is_wanted(gemm)) return 0;
  const int64_t splits = ceil_div(gemm.k, kRowBytes / bytes_of(dtype));
  // Column sums need a row of tiles even where there is no row.
  const int64_t least_rows = gemm.column_sums.data ? gemm.t : 0;
  const int64_t rows = std::max(rows_of_tiles(gemm, kLeastSide), least_rows);
  return double(rows) * double(ceil_div(gemm.n, kLeastSide)) * double(splits);
}

std::string why_too_many(double items) {
  return items > double(kMostItems) ? "sm90 needs fewer tiles: more than 2^30" : "";
}

}  // namespace

std::string why_not(const ForwardProblem& problem) {
  const std::string no_tensor_cores = why_no_tensor_cores("sm90", problem.dtype);
  if (!no_tensor_cores.empty()) return no_tensor_cores;
  if (problem.i == 0) return "sm90 needs terms to add up: I = 0";
  const std::string obstacle = why_no_boxes(problem);
  if (!obstacle.empty()) return obstacle;
  return why_too_many(most_items(forward_product(problem), problem.dtype));
}

std::string why_not(const BackwardProblem& problem) {
  const std::string no_tensor_cores = why_no_tensor_cores("sm90", problem.dtype);
  if (!no_tensor_cores.empty()) return no_tensor_cores;
  if (problem.dtype == DType::kTFloat32 && (problem.dweight.data || problem.dbias.data))
    return "sm90 computes the gradient of x alone in tfloat32";
  if (problem.dtype == DType::kTFloat32 && problem.rows.begin)
    return "sm90 needs every step to have all rows, for a gradient in tfloat32";
  if (problem.dx.data && problem.o == 0) return "sm90 needs terms to add up: O = 0";
  if ((problem.dweight.data || problem.dbias.data) && problem.b == 0)
    return "sm90 needs terms to add up: B = 0";
  const std::string obstacle = why_no_boxes(problem);
  if (!obstacle.empty()) return obstacle;
  return why_too_many(most_items(grad_input_product(problem), problem.dtype) +
                      most_items(grad_weight_product(problem), problem.dtype));
}

ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice, void* workspace) {
  ForwardWork work{};
  work.product.gemm = forward_product(problem);
  if (problem.b == 0 || problem.t == 0 || problem.o == 0) return work;
  const TileInfo tile = tile_info(choice.tile, problem.dtype);
  SplitWorkspace room(workspace, problem.dtype);
  work.product = Cutter(problem.dtype, tile, room)
                     .cut(work.product.gemm, choice.splits[kForward], work.sums.sum[kForward]);
  work.plan.shape = shape_of(work.product.order.items, tile, choice.sms);
  work.plan.workspace_bytes = room.bytes();
  work.plan.launches = work.product.is_split ? 2 : 1;
  return work;
}

BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice, void* workspace) {
  BackwardWork work{};
  work.problem = problem;
  SplitWorkspace room(workspace, problem.dtype);
  if (!why_no_box_of_dz(problem).empty()) {
    const int64_t t = problem.rows.begin ? 1 : problem.t, o = problem.o;
    work.problem.dz = {room.take_bytes(problem.b * t * o * bytes_of(problem.dtype)), {t * o, o, 1}};
    work.copy_of_dz = {problem.b,         t,          o,          problem.dtype,
                       Activation::kNone, problem.dz, problem.dz, work.problem.dz};
    if (problem.rows.begin) work.problem.dz.stride[1] = 0;  // one matrix has the rows of all steps
  }
  const TileInfo tile = backward_tile_info(choice.tile, problem.dtype);
  Cutter cutter(problem.dtype, tile, room);
  work.grad_input = cutter.cut(grad_input_product(work.problem), choice.splits[kGradInput],
                               work.sums.sum[kGradInput]);
  work.grad_weight = cutter.cut(grad_weight_product(work.problem), choice.splits[kGradWeight],
                                work.sums.sum[kGradWeight]);
  const int64_t items = int64_t{work.grad_input.order.items} + work.grad_weight.order.items;
  if (items == 0) return {};
  work.plan.shape = shape_of(items, tile, choice.sms);
  work.order = list_order_of(work.grad_input.order, work.grad_weight.order,
                             int32_t(work.plan.shape.blocks / work.plan.shape.cluster));
  work.plan.workspace_bytes = room.bytes();
  const bool has_parts = work.grad_input.is_split || work.grad_weight.is_split;
  work.plan.launches_before = work.copy_of_dz.b > 0;
  work.plan.launches = work.plan.launches_before + 1 + has_parts;
  return work;
}

bool has_tile(DType dtype, const RowRanges& rows, int tile) {
  return is_tile(dtype, tile) && (!rows.begin || tile_info(tile, dtype).takes_ranges);
}

LaunchPlan plan(const ForwardProblem& problem, const Choice& choice) {
  if (!has_tile(problem.dtype, problem.rows, choice.tile) || !why_not(problem).empty()) return {};
  return forward_work(problem, choice, nullptr).plan;
}

LaunchPlan plan(const BackwardProblem& problem, const Choice& choice) {
  if (!has_tile(problem.dtype, problem.rows, choice.tile) || !why_not(problem).empty()) return {};
  return backward_work(problem, choice, nullptr).plan;
}

}  // namespace per_step_dense::sm90
