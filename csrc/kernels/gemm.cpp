#include "kernels/gemm.h"

namespace per_step_dense {
namespace {

// Which dimension of a view is the step, and which are the rows and columns of its matrices.
Operand operand(const View3& view, int t, int row, int k) {
  return {view.data, view.stride[t], view.stride[row], view.stride[k]};
}
Matrix matrix(const View3& view, int t, int m, int n) {
  return {view.data, view.stride[t], view.stride[m], view.stride[n]};
}
Vector vector(const View2& view) { return {view.data, view.stride[0], view.stride[1]}; }

}  // namespace

Gemm forward_product(const ForwardProblem& problem) {
  Gemm gemm{};
  gemm.t = problem.t;
  gemm.m = problem.b;
  gemm.n = problem.o;
  gemm.k = problem.i;
  gemm.m_ranges = problem.rows;
  gemm.a = operand(problem.x, /*t=*/1, /*row=*/0, /*k=*/2);
  gemm.b = operand(problem.weight, /*t=*/0, /*row=*/2, /*k=*/1);
  gemm.c = matrix(problem.y, /*t=*/1, /*m=*/0, /*n=*/2);
  gemm.z = matrix(problem.z, /*t=*/1, /*m=*/0, /*n=*/2);
  gemm.bias = vector(problem.bias);
  gemm.activation = problem.activation;
  return gemm;
}

Gemm grad_input_product(const BackwardProblem& problem) {
  Gemm gemm{};
  gemm.t = problem.t;
  gemm.m = problem.b;
  gemm.n = problem.i;
  gemm.k = problem.o;
  gemm.m_ranges = problem.rows;
  gemm.a = operand(problem.dz, /*t=*/1, /*row=*/0, /*k=*/2);
  gemm.b = operand(problem.weight, /*t=*/0, /*row=*/1, /*k=*/2);
  gemm.c = matrix(problem.dx, /*t=*/1, /*m=*/0, /*n=*/2);
  return gemm;
}

// With dbias alone there are no rows to compute: the product is empty but for its column sums.
Gemm grad_weight_product(const BackwardProblem& problem) {
  Gemm gemm{};
  gemm.t = problem.t;
  gemm.m = problem.dweight.data ? problem.i : 0;
  gemm.n = problem.o;
  gemm.k = problem.b;
  gemm.k_ranges = problem.rows;
  gemm.a = operand(problem.x, /*t=*/1, /*row=*/2, /*k=*/0);
  gemm.b = operand(problem.dz, /*t=*/1, /*row=*/2, /*k=*/0);
  gemm.c = matrix(problem.dweight, /*t=*/0, /*m=*/1, /*n=*/2);
  gemm.column_sums = vector(problem.dbias);
  gemm.accumulation = problem.accumulation;
  return gemm;
}

}  // namespace per_step_dense
