#include "kernels/tiled/tiler.h"

#include <algorithm>

#include "kernels/tiled/products.h"

namespace per_step_dense::tiled {
namespace {

bool is_multiple(int64_t elems, int64_t element_bytes, int64_t bytes) {
  return elems * element_bytes % bytes == 0;
}

bool is_aligned(const void* data, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(bytes) == 0;
}

// A dimension with one index is never stepped along inside the operand; its stride becomes one that
// disturbs no alignment.
Operand with_harmless_strides(Operand operand, int64_t t, int64_t rows, int64_t k, Major major) {
  if (t <= 1) operand.stride_t = 0;
  if (rows <= 1) operand.stride_row = major == Major::kRow ? 1 : 0;
  if (k <= 1) operand.stride_k = major == Major::kK ? 1 : 0;
  return operand;
}

// The widest copy that address and strides allow; of one element where they allow no other.
int32_t copy_bytes(const Operand& operand, Major major, int64_t element_bytes) {
  const bool k_major = major == Major::kK;
  const int64_t along = k_major ? operand.stride_k : operand.stride_row;
  const int64_t across = k_major ? operand.stride_row : operand.stride_k;
  for (const int64_t bytes : {16, 8, 4}) {
    if (bytes > element_bytes && along == 1 && is_aligned(operand.data, bytes) &&
        is_multiple(across, element_bytes, bytes) &&
        is_multiple(operand.stride_t, element_bytes, bytes)) {
      return static_cast<int32_t>(bytes);
    }
  }
  return static_cast<int32_t>(element_bytes);
}

OperandAccess access(const Operand& operand, Major major, int64_t element_bytes, bool realigns) {
  const int32_t bytes = copy_bytes(operand, major, element_bytes);
  if (bytes > element_bytes) return {bytes, /*is_aligned=*/true, major == Major::kK};
  const bool is_contiguous = (major == Major::kK ? operand.stride_k : operand.stride_row) == 1;
  if (is_contiguous && element_bytes == 2 && realigns)
    return {16, /*is_aligned=*/false, major == Major::kK};
  return {bytes, /*is_aligned=*/true, operand.stride_k < operand.stride_row};
}

// The neighbouring outputs that one instruction may store: as many as address and strides allow,
// and of which the end of a row of n cuts none off.
int32_t store_elems(const Matrix& matrix, int64_t n, int64_t element_bytes) {
  for (const int64_t bytes : {16, 8, 4}) {
    if (bytes > element_bytes && matrix.stride_n == 1 && is_aligned(matrix.data, bytes) &&
        is_multiple(n, element_bytes, bytes) &&
        is_multiple(matrix.stride_m, element_bytes, bytes) &&
        is_multiple(matrix.stride_t, element_bytes, bytes)) {
      return static_cast<int32_t>(bytes / element_bytes);
    }
  }
  return 1;
}

class Tiler {
 public:
  Tiler(DType dtype, void* workspace) : dtype_(dtype), workspace_(workspace, dtype) {}

  // Column sums need a tile of rows even where there is no row.
  template <class Product>
  TiledGemm cut(const Gemm& gemm, const BlockShape& shape, int splits, SplitSum& sum) {
    TiledGemm tiled{};
    if (!is_wanted(gemm)) return tiled;
    const int64_t bytes = bytes_of(dtype_);
    tiled.gemm = gemm;
    tiled.stores_accum = gemm.accumulation == Accumulation::kAddFloat32;
    tiled.gemm.a = with_harmless_strides(gemm.a, gemm.t, gemm.m, gemm.k, Product::kMajorA);
    tiled.gemm.b = with_harmless_strides(gemm.b, gemm.t, gemm.n, gemm.k, Product::kMajorB);
    tiled.access_a = access(tiled.gemm.a, Product::kMajorA, bytes, shape.realigns);
    tiled.access_b = access(tiled.gemm.b, Product::kMajorB, bytes, shape.realigns);
    // Where rows differ by step, tiles_m counts the tiles of all steps.
    const bool has_m_ranges = gemm.m_ranges.begin != nullptr;
    const int64_t matrices = has_m_ranges ? 1 : gemm.t;
    tiled.tiles_m = has_m_ranges ? most_tiles(gemm.m_ranges.total, gemm.t, shape.m)
                                 : std::max<int64_t>(ceil_div(gemm.m, shape.m),
                                                     gemm.column_sums.data != nullptr);
    tiled.tiles_n = ceil_div(gemm.n, shape.n);

    // A split of no terms would be a block for nothing.
    const int64_t k_tiles = ceil_div(gemm.k, shape.k);
    const int wanted_splits = has_m_ranges ? 1 : std::max(splits, 1);  // parts are of equal steps
    const int64_t k_tiles_a_split = std::max<int64_t>(ceil_div(k_tiles, wanted_splits), 1);
    const int64_t used_splits = std::max<int64_t>(ceil_div(k_tiles, k_tiles_a_split), 1);
    tiled.terms = k_tiles_a_split * shape.k;
    tiled.tiles = matrices * tiled.tiles_m * tiled.tiles_n * used_splits;
    if (used_splits > 1 && tiled.tiles > 0) {
      tiled.part_elems = part_elems(gemm);
      tiled.column_sum_part_elems = column_sum_part_elems(gemm);
      sum = workspace_.leave_parts(tiled.gemm, used_splits);
      tiled.stores_accum = true;
    }

    const int64_t stored_bytes = tiled.stores_accum ? accum_bytes_of(dtype_) : bytes;
    tiled.store_elems = store_elems(tiled.gemm.c, gemm.n, stored_bytes);
    if (tiled.gemm.z.data) {
      tiled.store_elems = std::min(tiled.store_elems, store_elems(tiled.gemm.z, gemm.n, bytes));
    }
    return tiled;
  }

  LaunchPlan plan(int64_t tiles, int threads, size_t smem_bytes) const {
    LaunchPlan plan{};
    if (tiles == 0) return plan;
    plan.shape = {unsigned(std::min(tiles, kMaxBlocks)), unsigned(threads), smem_bytes};
    plan.workspace_bytes = workspace_.bytes();
    plan.launches = plan.workspace_bytes > 0 ? 2 : 1;
    return plan;
  }

 private:
  DType dtype_;
  SplitWorkspace workspace_;
};

}  // namespace

OperandAccesses accesses_of(const Gemm& gemm, Major major_a, Major major_b, DType dtype) {
  const Operand a = with_harmless_strides(gemm.a, gemm.t, gemm.m, gemm.k, major_a);
  const Operand b = with_harmless_strides(gemm.b, gemm.t, gemm.n, gemm.k, major_b);
  const int64_t bytes = bytes_of(dtype);
  return {access(a, major_a, bytes, /*realigns=*/true),
          access(b, major_b, bytes, /*realigns=*/true)};
}

ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice, void* workspace,
                         const BlockShape& shape) {
  ForwardWork work{};
  Tiler tiler(problem.dtype, workspace);
  work.tiles = tiler.cut<Forward>(forward_product(problem), shape, choice.splits[kForward],
                                  work.sums.sum[kForward]);
  work.plan = tiler.plan(work.tiles.tiles, shape.threads, shape.smem_bytes);
  return work;
}

BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice, void* workspace,
                           const BlockShape& grad_input, const BlockShape& grad_weight) {
  BackwardWork work{};
  Tiler tiler(problem.dtype, workspace);
  work.tiles.grad_input =
      tiler.cut<GradInput>(grad_input_product(problem), grad_input, choice.splits[kGradInput],
                           work.sums.sum[kGradInput]);
  work.tiles.grad_weight =
      tiler.cut<GradWeight>(grad_weight_product(problem), grad_weight, choice.splits[kGradWeight],
                            work.sums.sum[kGradWeight]);
  // The longest sum first: its tiles take longest, and what is left fills the tail.
  work.tiles.grad_weight_first = std::min(work.tiles.grad_weight.terms, problem.b) >=
                                 std::min(work.tiles.grad_input.terms, problem.o);
  work.plan =
      tiler.plan(work.tiles.grad_input.tiles + work.tiles.grad_weight.tiles, grad_input.threads,
                 std::max(grad_input.smem_bytes, grad_weight.smem_bytes));
  return work;
}

}  // namespace per_step_dense::tiled
