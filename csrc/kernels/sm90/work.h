// What a choice of this family comes to for its kernels, but for the tensor maps. Pure host code.
#pragma once

#include "choice.h"
#include "kernels/gemm.h"
#include "kernels/launch_shape.h"
#include "kernels/sm90/tile_order.h"
#include "kernels/sm90/tiles.h"
#include "kernels/split_workspace.h"
#include "problem.h"

namespace per_step_dense::sm90 {

struct ForwardWork {
  Gemm gemm;  // where the sum is split, c is the first split's parts
  TileOrder order;
  bool is_split;
  int64_t part_elems;  // from one split's parts to the next's
  SplitSumList sums;
  LaunchPlan plan;
};

// Of a product with outputs and terms. No split is without terms, so that they may be fewer than
// asked for.
TileOrder order_of(const Gemm& gemm, const TileInfo& tile, int splits);

// Of a problem that the family takes. With a null workspace the work serves as a plan, and is not
// to be launched.
ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice, void* workspace);

}  // namespace per_step_dense::sm90
