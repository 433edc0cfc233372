// Cuts the products of a problem into tiles. Pure host code.
#pragma once

#include <cstddef>

#include "choice.h"
#include "kernels/tiled/products.h"
#include "kernels/tiled/tiled_gemm.h"
#include "problem.h"

namespace per_step_dense::tiled {

// What a kernel takes of a product at a time.
struct BlockShape {
  int m, n;       // outputs of a tile
  int k;          // terms of a stage of the pipeline
  int threads;    // of a block
  bool realigns;  // copies rows that begin at odd 16-bit elements as wholes, not by elements
  size_t smem_bytes;
};

// How the operands of a product are copied, whatever the tile, by a family that realigns.
struct OperandAccesses {
  OperandAccess a, b;
};
OperandAccesses accesses_of(const Gemm& gemm, Major major_a, Major major_b, DType dtype);

// With a null workspace the works serve as plans, and are not to be launched.
ForwardWork forward_work(const ForwardProblem& problem, const Choice& choice, void* workspace,
                         const BlockShape& shape);
BackwardWork backward_work(const BackwardProblem& problem, const Choice& choice, void* workspace,
                           const BlockShape& grad_input, const BlockShape& grad_weight);

}  // namespace per_step_dense::tiled
