// Host code of the family: a problem becomes a list of products, the list one launch.
#include <algorithm>

#include "kernels/launch.cuh"
#include "kernels/simt/gemm.cuh"
#include "kernels/simt/simt.h"

namespace per_step_dense::simt {
namespace {

using Tile = Config<float, 64, 64, 16, 4, 4>;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Cuts a product into tiles. Column sums need a tile of rows even where there is no row.
void append(GemmList& list, Gemm gemm) {
  const int64_t least_tiles_m = gemm.column_sums.data ? 1 : 0;
  gemm.tiles_m = std::max(ceil_div(gemm.m, Tile::kBlockM), least_tiles_m);
  gemm.tiles_n = ceil_div(gemm.n, Tile::kBlockN);
  const int64_t tiles = gemm.t * gemm.tiles_m * gemm.tiles_n;
  if (tiles == 0) return;
  const int slot = list.tiles[0] == 0 ? 0 : 1;
  list.gemm[slot] = gemm;
  list.tiles[slot] = tiles;
}

cudaError_t run(const GemmList& list, cudaStream_t stream) {
  const int64_t tiles = list.tiles[0] + list.tiles[1];
  if (tiles == 0) return cudaSuccess;
  const LaunchShape shape{unsigned(std::min(tiles, kMaxBlocks)), Tile::kThreads,
                          sizeof(SharedStorage<Tile>)};
  return launch(gemm_kernel<Tile>, shape, list, stream);
}

// Which dimension of a view is the step, and which are the rows and columns of its matrices.
Operand operand(const View3& view, int t, int row, int k) {
  return {view.data, view.stride[t], view.stride[row], view.stride[k]};
}
Matrix matrix(const View3& view, int t, int m, int n) {
  return {view.data, view.stride[t], view.stride[m], view.stride[n]};
}
Vector vector(const View2& view) { return {view.data, view.stride[0], view.stride[1]}; }

Gemm product(const ForwardProblem& problem) {
  Gemm gemm{};
  gemm.t = problem.t;
  gemm.m = problem.b;
  gemm.n = problem.o;
  gemm.k = problem.i;
  gemm.a = operand(problem.x, /*t=*/1, /*row=*/0, /*k=*/2);
  gemm.b = operand(problem.weight, /*t=*/0, /*row=*/2, /*k=*/1);
  gemm.c = matrix(problem.y, /*t=*/1, /*m=*/0, /*n=*/2);
  gemm.z = matrix(problem.z, /*t=*/1, /*m=*/0, /*n=*/2);
  gemm.bias = vector(problem.bias);
  gemm.activation = problem.activation;
  return gemm;
}

Gemm grad_input(const BackwardProblem& problem) {
  Gemm gemm{};
  gemm.t = problem.t;
  gemm.m = problem.b;
  gemm.n = problem.i;
  gemm.k = problem.o;
  gemm.a = operand(problem.dz, /*t=*/1, /*row=*/0, /*k=*/2);
  gemm.b = operand(problem.weight, /*t=*/0, /*row=*/1, /*k=*/2);
  gemm.c = matrix(problem.dx, /*t=*/1, /*m=*/0, /*n=*/2);
  return gemm;
}

// With dbias alone there are no rows to compute: the product is empty but for its column sums.
Gemm grad_weight(const BackwardProblem& problem) {
  Gemm gemm{};
  gemm.t = problem.t;
  gemm.m = problem.dweight.data ? problem.i : 0;
  gemm.n = problem.o;
  gemm.k = problem.b;
  gemm.a = operand(problem.x, /*t=*/1, /*row=*/2, /*k=*/0);
  gemm.b = operand(problem.dz, /*t=*/1, /*row=*/2, /*k=*/0);
  gemm.c = matrix(problem.dweight, /*t=*/0, /*m=*/1, /*n=*/2);
  gemm.column_sums = vector(problem.dbias);
  return gemm;
}

}  // namespace

cudaError_t forward(const ForwardProblem& problem, cudaStream_t stream) {
  GemmList list{};
  append(list, product(problem));
  return run(list, stream);
}

cudaError_t backward(const BackwardProblem& problem, cudaStream_t stream) {
  const bool wants_weight_or_bias = problem.dweight.data || problem.dbias.data;
  GemmList list{};
  // The longest sum first: its tiles take longest, and what is left fills the tail.
  if (wants_weight_or_bias && problem.b >= problem.o) append(list, grad_weight(problem));
  if (problem.dx.data) append(list, grad_input(problem));
  if (wants_weight_or_bias && problem.b < problem.o) append(list, grad_weight(problem));
  return run(list, stream);
}

}  // namespace per_step_dense::simt
