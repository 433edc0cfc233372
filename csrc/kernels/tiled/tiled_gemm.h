// A product cut into tiles: what the kernels of the tile families are given. Pure host code.
#pragma once

#include "kernels/gemm.h"
#include "kernels/launch_shape.h"
#include "kernels/split_workspace.h"

namespace per_step_dense::tiled {

// How an operand gets into shared memory.
struct OperandAccess {
  // Bytes a copy moves along the contiguous dimension. Those of one element say that elements are
  // copied one by one, which any strides allow.
  int32_t copy_bytes;
  bool is_aligned;    // else rows of 16-bit elements begin at odd ones, which cp.async cannot copy
  bool k_is_fastest;  // neighbouring threads copy neighbours along k, not along the rows
};

struct TiledGemm {
  Gemm gemm;  // where the sum is split, c and column_sums are the first split's parts
  OperandAccess access_a, access_b;
  int32_t store_elems;  // neighbouring outputs that one instruction may store, of c and of z

  // Tiles are numbered with n innermost, then m, t and the split.
  int64_t tiles;
  int64_t tiles_m, tiles_n;
  int64_t terms;  // of the sum over k that a split adds up

  // c and the column sums have the accumulator's type, not the operands': parts of split sums, or
  // float32 that is added to.
  bool stores_accum;
  int64_t part_elems, column_sum_part_elems;  // from one split's parts to the next's
};

// The tiles of both products, numbered through.
struct BackwardTiles {
  TiledGemm grad_input, grad_weight;
  bool grad_weight_first;
};

struct ForwardWork {
  TiledGemm tiles;
  SplitSumList sums;
  LaunchPlan plan;
};

struct BackwardWork {
  BackwardTiles tiles;
  SplitSumList sums;
  LaunchPlan plan;
};

}  // namespace per_step_dense::tiled
