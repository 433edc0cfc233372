#include "kernels/tiny/work.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "kernels/tiny/plan.h"
#include "kernels/tiny/tiles.h"

namespace per_step_dense::tiny {
namespace {

// Threads that keep an H200 busy, its 132 multiprocessors half full. A sum is shared by more
// threads only until there are so many, whatever GPU it is: results depend on the shape alone.
constexpr int64_t kBusyThreads = 132 * 1024;

// With fewer chunks along k, the lanes of a warp would read too little of each row.
constexpr int64_t kLeastLaneChunks = 8;

// Slices and splits that add up less cost more to join than they spare.
constexpr int64_t kLeastSliceChunks = 4, kLeastSplitTerms = 512;
constexpr int64_t kMostSplits = 128;

Divisor make_divisor(int64_t number) {
  const auto divisor = static_cast<uint32_t>(std::max<int64_t>(number, 1));
  int32_t log2 = 0;
  while ((uint64_t{1} << log2) < divisor) ++log2;
  const int32_t shift = 31 + log2;
  const uint64_t magic = ((uint64_t{1} << shift) + divisor - 1) / divisor;
  return {divisor, static_cast<uint32_t>(magic), shift};
}

// 0 for limits below 2.
int32_t log2_up_to(int64_t limit) {
  int32_t log2 = 0;
  while ((int64_t{2} << log2) <= limit) ++log2;
  return log2;
}

struct Step {
  int64_t stride, extent;
};

// Whether `elems` neighbours along the dimension of stride `along` may be moved in vectors. A
// stride over a dimension of one index disturbs nothing.
bool takes_vectors(const void* data, int64_t along, int64_t elems, int64_t element_bytes,
                   std::initializer_list<Step> others) {
  const int64_t bytes = std::min<int64_t>(elems * element_bytes, 16);
  return along == 1 && reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0 &&
         std::all_of(others.begin(), others.end(), [&](const Step& other) {
           return other.extent <= 1 || other.stride * element_bytes % bytes == 0;
         });
}

bool lies_along_k(const Operand& operand, int64_t rows) {
  return operand.stride_k == 1 && (rows <= 1 || operand.stride_row != 1);
}

// Cuts products into units, slices and splits, in this order of steps:
// split(), then with_columns_as_rows() or column_sums_alone() where wanted, then finish().
class Cutter {
 public:
  Cutter(DType dtype, const TileInfo& tile, void* workspace)
      : element_bytes_(bytes_of(dtype)),
        accum_bytes_(accum_bytes_of(dtype)),
        tile_(tile),
        workspace_(workspace ? workspace : somewhere(), dtype) {}

  // `sum` is what another launch has to add up, where there is something.
  Item split(const Gemm& gemm, int splits, SplitSum& sum) {
    Item item{};
    item.gemm = gemm;
    item.stores_accum = gemm.accumulation == Accumulation::kAddFloat32;
    const int64_t k = terms_of_a_step(gemm), chunks = ceil_div(k, tile_.chunk);
    const int wanted_splits = gemm.m_ranges.begin ? 1 : std::max(splits, 1);  // or parts have gaps
    const int64_t terms = ceil_div(chunks, wanted_splits) * tile_.chunk;
    item.splits = static_cast<int32_t>(terms < k ? ceil_div(k, terms) : 1);
    item.terms = static_cast<int32_t>(std::min(terms, k));
    if (item.splits > 1 && is_wanted(gemm)) {
      item.part_elems = part_elems(gemm);
      item.column_sum_part_elems = column_sum_part_elems(gemm);
      sum = workspace_.leave_parts(item.gemm, item.splits);
      item.stores_accum = true;
    }
    return item;
  }

  void finish(Item& item) const {
    const Gemm& gemm = item.gemm;
    item.m = static_cast<int32_t>(rows_of_a_step(gemm));
    item.n = static_cast<int32_t>(gemm.n);
    item.k = static_cast<int32_t>(terms_of_a_step(gemm));
    if (gemm.m == 0) lend_operand(item.gemm);
    item.layout = layout(gemm);
    const int64_t stored_bytes = item.stores_accum ? accum_bytes_ : element_bytes_;
    item.stores_vectors_of_c = stores_vectors(gemm, gemm.c, stored_bytes) &&
                               item.part_elems * stored_bytes % kVectorBytes == 0;
    item.stores_vectors_of_z = stores_vectors(gemm, gemm.z, element_bytes_);
    number_units(item);
  }

  size_t smem_bytes(const Item& item) const {
    if (item.log2_slices == 0 || item.slices_are_lanes) return 0;
    return static_cast<size_t>(tile_.threads * (kRows + 1) * tile_.columns * accum_bytes_);
  }

  size_t workspace_bytes() const { return workspace_.bytes(); }

  // Splits that bring a product near kBusyThreads.
  int32_t useful_splits(const Item& item) const {
    if (item.units == 0) return 1;
    const int64_t slices = !tile_.sliced           ? 1
                           : item.slices_are_lanes ? kMaxLaneSlices
                                                   : kMaxWarpSlices;
    const int64_t wanted = std::min(kBusyThreads / (item.units * slices), kMostSplits);
    return static_cast<int32_t>(
        std::max<int64_t>(std::min(wanted, terms_of_a_step(item.gemm) / kLeastSplitTerms), 1));
  }

 private:
  static constexpr int64_t kVectorBytes = 16;

  // A plan has to be cut as the call will be, and a null part would be an absent one.
  static void* somewhere() { return reinterpret_cast<void*>(uintptr_t{kVectorBytes}); }

  // Where there are no rows, nothing of the product is stored, but the kernel reads what it always
  // reads: a column of b stands in for a.
  static void lend_operand(Gemm& gemm) {
    gemm.a = {gemm.b.data, gemm.b.stride_t, /*stride_row=*/0, gemm.b.stride_k};
  }

  // Where terms differ by step they may begin anywhere, and so may rows: not where a vector does.
  Layout layout(const Gemm& gemm) const {
    const bool reads_chunks =
        gemm.k >= tile_.chunk && !gemm.column_sums.data && !gemm.k_ranges.begin;
    const bool a_along_k = reads_chunks && along_k(gemm.a, gemm.m, gemm.t);
    const bool b_along_k = reads_chunks && along_k(gemm.b, gemm.n, gemm.t);
    if (a_along_k && b_along_k) return Layout::kDots;
    // Single columns are vectors of one element, whatever their stride.
    if (tile_.columns > 1 && !along_rows(gemm.b, gemm.n, tile_.columns, gemm)) {
      return Layout::kElements;
    }
    if (a_along_k) return Layout::kColumns;
    const bool a_along_rows = !gemm.m_ranges.begin && along_rows(gemm.a, gemm.m, kRows, gemm);
    return a_along_rows ? Layout::kOuter : Layout::kColumnsOnly;
  }

  bool along_k(const Operand& operand, int64_t rows, int64_t t) const {
    return takes_vectors(operand.data, operand.stride_k, tile_.chunk, element_bytes_,
                         {{operand.stride_row, rows}, {operand.stride_t, t}});
  }
  bool along_rows(const Operand& operand, int64_t rows, int elems, const Gemm& gemm) const {
    return rows > 0 && rows % elems == 0 &&
           takes_vectors(operand.data, operand.stride_row, elems, element_bytes_,
                         {{operand.stride_k, gemm.k}, {operand.stride_t, gemm.t}});
  }
  bool stores_vectors(const Gemm& gemm, const Matrix& matrix, int64_t bytes) const {
    return tile_.columns > 1 &&
           takes_vectors(matrix.data, matrix.stride_n, tile_.columns, bytes,
                         {{matrix.stride_m, gemm.m}, {matrix.stride_t, gemm.t}});
  }

  // Column sums need a group of rows even where there is no row.
  void number_units(Item& item) const {
    const Gemm& gemm = item.gemm;
    const int64_t row_groups =
        std::max<int64_t>(ceil_div(rows_of_a_step(gemm), kRows), gemm.column_sums.data != nullptr);
    const int64_t column_groups_a_step = ceil_div(gemm.n, tile_.columns);
    const int64_t column_groups = column_groups_a_step * gemm.t;
    item.units = is_wanted(gemm) ? row_groups * column_groups : 0;
    set_slices(item);
    const int64_t blocks_a_split = ceil_div(item.units, tile_.threads >> item.log2_slices);
    item.blocks = blocks_a_split * item.splits;
    item.blocks_a_split = make_divisor(blocks_a_split);
    item.column_groups = make_divisor(column_groups);
    item.column_groups_a_step = make_divisor(column_groups_a_step);
  }

  void set_slices(Item& item) const {
    if (!tile_.sliced) return;
    const Gemm& gemm = item.gemm;
    const int64_t chunks = ceil_div(item.terms, tile_.chunk);
    if (chunks >= kLeastLaneChunks && lies_along_k(gemm.a, gemm.m) &&
        lies_along_k(gemm.b, gemm.n)) {
      item.slices_are_lanes = true;
      item.log2_slices = log2_up_to(std::min<int64_t>(chunks, kMaxLaneSlices));
      return;
    }
    const int64_t threads = std::max<int64_t>(item.units * item.splits, 1);
    const int64_t wanted = std::min(kBusyThreads / threads, chunks / kLeastSliceChunks);
    item.log2_slices = log2_up_to(std::min<int64_t>(wanted, kMaxWarpSlices));
  }

  int64_t element_bytes_, accum_bytes_;
  TileInfo tile_;
  SplitWorkspace workspace_;
};

// Columns where the rows were: neighbouring threads then run along the longer side of the
// gradient of a weight. The bias gradient does not come with it.
Item with_columns_as_rows(Item item) {
  Gemm& gemm = item.gemm;
  std::swap(gemm.a, gemm.b);
  std::swap(gemm.m, gemm.n);
  std::swap(gemm.c.stride_m, gemm.c.stride_n);
  gemm.column_sums = {};
  return item;
}

Item column_sums_alone(Item item) {
  item.gemm.m = 0;
  item.gemm.c = {};
  return item;
}

// One group of rows then holds all columns, and x is read once.
bool is_better_transposed(const Gemm& grad_weight) {
  return grad_weight.n <= kRows && grad_weight.m > grad_weight.n;
}

// The items of a problem, before they are cut into units.
class ItemsOf {
 public:
  ItemsOf(const ForwardProblem& problem, Cutter& cutter, const int32_t* splits,
          SplitSumList& sums) {
    add(cutter.split(forward_product(problem), splits[kForward], sums.sum[kForward]));
  }

  ItemsOf(const BackwardProblem& problem, Cutter& cutter, const int32_t* splits,
          SplitSumList& sums) {
    add(cutter.split(grad_input_product(problem), splits[kGradInput], sums.sum[kGradInput]));
    const Gemm gemm = grad_weight_product(problem);
    const Item item = cutter.split(gemm, splits[kGradWeight], sums.sum[kGradWeight]);
    if (!is_better_transposed(gemm)) {
      add(item);
      return;
    }
    add(with_columns_as_rows(item));
    if (gemm.column_sums.data) add(column_sums_alone(item));
  }

  Item* begin() { return items_; }
  Item* end() { return items_ + count_; }

 private:
  void add(const Item& item) { items_[count_++] = item; }

  Item items_[kMaxItems];
  int count_ = 0;
};

bool is_tile(int index) { return index >= 0 && index < kTileCount; }

template <class Problem>
Work work_of(const Problem& problem, const Choice& choice, void* workspace) {
  Work work{};
  if (!is_tile(choice.tile)) return work;
  const TileInfo tile = tile_info(choice.tile, problem.dtype);
  Cutter cutter(problem.dtype, tile, workspace);
  ItemsOf items(problem, cutter, choice.splits, work.sums);
  for (Item& item : items) cutter.finish(item);

  // The longest sums first: they take longest, and the rest fills the tail.
  std::stable_sort(items.begin(), items.end(), [](const Item& left, const Item& right) {
    return left.terms >> left.log2_slices > right.terms >> right.log2_slices;
  });
  int64_t blocks = 0;
  size_t smem_bytes = 0;
  work.is_valid = true;
  int used = 0;
  for (const Item& item : items) {
    if (item.units == 0) continue;
    work.is_valid = work.is_valid && item.units <= kMaxUnits;
    work.items.item[used++] = item;
    blocks += item.blocks;
    smem_bytes = std::max(smem_bytes, cutter.smem_bytes(item));
  }
  // Which is also where a grid ends.
  work.is_valid = work.is_valid && blocks <= kMaxUnits;
  if (blocks == 0) return work;
  work.plan.shape = {static_cast<unsigned>(blocks), static_cast<unsigned>(tile.threads),
                     smem_bytes};
  work.plan.workspace_bytes = cutter.workspace_bytes();
  work.plan.launches = work.plan.workspace_bytes > 0 ? 2 : 1;
  return work;
}

template <class Problem>
void set_splits_of(const Problem& problem, Choice& choice) {
  constexpr int32_t kUnsplit[kMaxProducts] = {1, 1};
  if (!is_tile(choice.tile)) return;
  Cutter cutter(problem.dtype, tile_info(choice.tile, problem.dtype), /*workspace=*/nullptr);
  SplitSumList sums{};
  ItemsOf items(problem, cutter, kUnsplit, sums);
  for (int product = 0; product < kMaxProducts; ++product) {
    choice.splits[product] = 1;
    if (items.begin() + product == items.end()) break;
    Item& item = items.begin()[product];
    cutter.finish(item);
    choice.splits[product] = cutter.useful_splits(item);
  }
}

}  // namespace

void set_splits(const ForwardProblem& problem, Choice& choice) { set_splits_of(problem, choice); }
void set_splits(const BackwardProblem& problem, Choice& choice) { set_splits_of(problem, choice); }

Work make_work(const ForwardProblem& problem, const Choice& choice, void* workspace) {
  return work_of(problem, choice, workspace);
}

Work make_work(const BackwardProblem& problem, const Choice& choice, void* workspace) {
  return work_of(problem, choice, workspace);
}

}  // namespace per_step_dense::tiny
