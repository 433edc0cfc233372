// What a choice of this family comes to for its kernels, but for the tensor maps. Pure host code.
#pragma once

#include "choice.h"
#include "kernels/launch_shape.h"
#include "kernels/sm90/tiled_product.h"
#include "kernels/sm90/tiles.h"
#include "kernels/split_workspace.h"
#include "problem.h"

namespace per_step_dense::sm90 {

struct ForwardWork {
  TiledProduct product;
  SplitSumList sums;
  LaunchPlan plan;
};

struct BackwardWork {
  TiledProduct grad_input, grad_weight;
  ListOrder order;
  SplitSumList sums;
  LaunchPlan plan;
  BackwardProblem problem;               // whose dz TMA can describe,
  ActivationBackwardProblem copy_of_dz;  // once this, which is empty where it need not be, is done
};

// Of a product with outputs and terms, or with terms and column sums. No split is without terms, so
// that they may be fewer than asked for.
TileOrder order_of(const Gemm& gemm, const TileInfo& tile, int splits);

// Of a problem that the family takes. With a null workspace the work serves as a plan, and is not
// to be launched.
ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice, void* workspace);
BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice, void* workspace);

}  // namespace per_step_dense::sm90
