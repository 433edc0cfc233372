#include "ragged_aten.h"

#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include "aten.h"
#include "batch.h"
#include "composite.h"

namespace per_step_dense::aten {
namespace {

using at::Tensor;

// Steps one after another that have equally many rows: one batched product.
struct Run {
  int64_t first, steps, begin, rows;

  Tensor of_steps(const Tensor& parameters) const { return parameters.narrow(0, first, steps); }
};

std::vector<Run> runs_of(const RaggedRows& rows) {
  std::vector<Run> runs;
  for (int64_t t = 0; t < int64_t(rows.count.size()); ++t) {
    if (!runs.empty() && runs.back().rows == rows.count[t]) {
      ++runs.back().steps;
    } else {
      runs.push_back({t, 1, rows.begin[t], rows.count[t]});
    }
  }
  return runs;
}

// The rows of a run, as (steps, rows, F).
Tensor rows_of_run(const Tensor& tensor, const Run& run) {
  if (tensor.dim() == 2) {
    return tensor.narrow(0, run.begin, run.steps * run.rows).unflatten(0, {run.steps, run.rows});
  }
  return permuted(tensor.narrow(0, 0, run.rows).narrow(1, run.first, run.steps), 1, 0, 2);
}

// For a result with the rows of `like`; what is padding becomes zero.
Tensor new_rows(const Tensor& like, int64_t columns) {
  const auto sizes = sizes_with_last(like, columns);
  return like.dim() == 2 ? at::empty(sizes, like.options()) : at::zeros(sizes, like.options());
}

void preactivation_out(Tensor z, const Tensor& x, const Tensor& weight,
                       const std::optional<Tensor>& bias, const Run& run) {
  const Tensor own_x = rows_of_run(x, run), own_weight = run.of_steps(weight);
  if (bias) {
    at::baddbmm_out(z, run.of_steps(*bias).unsqueeze(1), own_x, own_weight);
  } else {
    at::bmm_out(z, own_x, own_weight);
  }
}

}  // namespace

std::tuple<Tensor, Tensor> ragged_forward(const Tensor& x, const Tensor& weight,
                                          const std::optional<Tensor>& bias, const RaggedRows& rows,
                                          Activation activation, bool wants_z) {
  const Tensor y = new_rows(x, weight.size(2));
  const Tensor z = wants_z ? new_rows(x, weight.size(2)) : Tensor();
  for (const Run& run : runs_of(rows)) {
    if (run.rows == 0) continue;
    Tensor own_y = rows_of_run(y, run);
    if (wants_z) {
      const Tensor own_z = rows_of_run(z, run);
      preactivation_out(own_z, x, weight, bias, run);
      own_y.copy_(composite::activate(own_z, activation));
    } else {
      preactivation_out(own_y, x, weight, bias, run);
      activate_(own_y, activation);
    }
  }
  return {y, z};
}

std::tuple<Tensor, Tensor, Tensor> ragged_backward(const Tensor& dz, const std::optional<Tensor>& x,
                                                   const std::optional<Tensor>& weight,
                                                   const RaggedRows& rows, bool wants_dbias) {
  const int64_t t = int64_t(rows.count.size()), o = dz.size(-1);
  Tensor dx, dweight, dbias;
  if (weight) dx = new_rows(dz, weight->size(1));
  if (x) dweight = at::empty({t, x->size(-1), o}, dz.options());
  if (wants_dbias) dbias = at::empty({t, o}, dz.options());
  for (const Run& run : runs_of(rows)) {
    const Tensor own_dz = rows_of_run(dz, run);
    if (weight && run.rows > 0) {
      Tensor own_dx = rows_of_run(dx, run);
      at::bmm_out(own_dx, own_dz, permuted(run.of_steps(*weight), 0, 2, 1));
    }
    if (x) {
      Tensor own_dweight = run.of_steps(dweight);
      at::bmm_out(own_dweight, permuted(rows_of_run(*x, run), 0, 2, 1), own_dz);
    }
    if (wants_dbias) {
      Tensor own_dbias = run.of_steps(dbias);
      at::sum_out(own_dbias, own_dz, at::IntArrayRef{1});
    }
  }
  return {dx, dweight, dbias};
}

}  // namespace per_step_dense::aten
