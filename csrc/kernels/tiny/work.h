// A problem as the kernels of this family are given it. Pure host code.
#pragma once

#include <cstdint>

#include "kernels/gemm.h"
#include "kernels/launch_shape.h"
#include "kernels/split_workspace.h"

namespace per_step_dense::tiny {

// How a thread reads its piece of an operand: kRows (of b: columns) times a chunk of k.
enum class Access : int32_t { kElements, kAlongK, kAlongRows };

// The pairs of accesses that are compiled. The last takes any strides.
enum class Layout : int32_t {
  kDots,         // a along k, b along k: grad-input, O = 1; without column sums
  kColumns,      // a along k, b along columns: forward; without column sums
  kOuter,        // a along rows, b along columns: grad-weight
  kColumnsOnly,  // a by elements, b along columns
  kElements,
};

// Division by a number known before the launch, for dividends below 2^31: n * magic >> shift.
struct Divisor {
  uint32_t divisor, magic;
  int32_t shift;
};

// What 31 bits number.
inline constexpr int64_t kMaxUnits = (int64_t{1} << 31) - 1;

// One product. Its units of work, a thread's rows x columns of outputs each, are numbered with the
// columns of all steps innermost, then groups of rows; splits are outermost.
struct Item {
  Gemm gemm;  // where the sum is split, c and column_sums are the first split's parts
  Layout layout;
  bool stores_vectors_of_c, stores_vectors_of_z;

  int32_t m, n, k;  // where rows or terms differ by step, the most of them
  int64_t units, blocks;
  Divisor blocks_a_split;
  Divisor column_groups;  // of all steps
  Divisor column_groups_a_step;

  int32_t log2_slices;    // of the threads that share a unit's sum
  bool slices_are_lanes;  // lanes of one warp; else the warps of a block
  int32_t splits;         // blocks that share it
  int32_t terms;          // of the sum over k that a split adds up

  // c and the column sums have the accumulator's type, not the operands': parts of split sums, or
  // float32 that is added to.
  bool stores_accum;
  int64_t part_elems, column_sum_part_elems;  // from one split's parts to the next's
};

// grad-input, grad-weight, and the bias gradient where grad-weight is computed transposed.
inline constexpr int kMaxItems = 3;

struct ItemList {
  Item item[kMaxItems];  // the last that is used has all blocks that are left
};

// A whole call. With a null workspace it serves as a plan, and is not to be launched.
struct Work {
  ItemList items;
  SplitSumList sums;
  LaunchPlan plan;
  bool is_valid;  // false: no such tile, or more units than 31 bits number
};

Work make_work(const ForwardProblem& problem, const Choice& choice, void* workspace);
Work make_work(const BackwardProblem& problem, const Choice& choice, void* workspace);

}  // namespace per_step_dense::tiny
