// Ragged batches in CUDA: the kernels compute the rows that each step has, and no others.
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "batch.h"
#include "forced_tile.h"
#include "kernel_in_force.h"
#include "launch_cuda.h"
#include "ops_ragged.h"
#include "problem_cuda.h"
#include "problem_of.h"
#include "upload.h"

namespace per_step_dense::cuda {
namespace {

using at::Tensor;

// Every step then sees all rows of a packed tensor, of which the ranges give it its own.
Tensor with_steps(const Tensor& rows, int64_t t) {
  if (!rows.defined() || rows.dim() == 3) return rows;
  return rows.unsqueeze(1).expand({rows.size(0), t, rows.size(1)});
}

// Of a result that is yet to come; a packed one is a matrix of the rows of all steps.
View3 output_view3(const Tensor& like, const View3& contiguous, int64_t columns) {
  if (like.dim() == 3 || !contiguous.data) return contiguous;
  return {contiguous.data, {columns, 0, 1}};
}

// What is padding becomes zero; of packed rows nothing is.
Tensor new_rows(const Tensor& like, int64_t columns) {
  const auto sizes = sizes_with_last(like, columns);
  return like.dim() == 2 ? at::empty(sizes, like.options()) : at::zeros(sizes, like.options());
}

// Ranges where the kernels read them.
class UploadedRanges {
 public:
  UploadedRanges(const RaggedRows& rows, at::Device device)
      : tensors_(upload({rows.begin, rows.count}, device)),
        ranges_{tensors_[0].const_data_ptr<int64_t>(), tensors_[1].const_data_ptr<int64_t>(),
                rows.total, rows.most} {}

  const RowRanges& ranges() const { return ranges_; }

 private:
  std::vector<Tensor> tensors_;
  RowRanges ranges_;
};

void check_is_not_captured() {
  TORCH_CHECK(c10::cuda::currentStreamCaptureStatusMayInitCtx() == c10::cuda::CaptureStatus::None,
              "per_step_dense: batches whose samples differ in length cannot be captured into a "
              "CUDA graph: which rows each step has is read on the host");
}

struct Kernels {
  static std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& weight,
                                            const std::optional<Tensor>& bias,
                                            const RaggedRows& rows, Activation activation,
                                            KernelFamily family, bool wants_z) {
    const c10::cuda::CUDAGuard device(x.device());
    check_is_not_captured();
    const UploadedRanges uploaded(rows, x.device());
    ForwardProblem problem =
        forward_problem(with_steps(x, weight.size(0)), weight, bias, activation, wants_z);
    problem.rows = uploaded.ranges();
    problem.y = output_view3(x, problem.y, problem.o);
    problem.z = output_view3(x, problem.z, problem.o);
    const PlannedCall call = plan(problem, x.get_device(), family);

    const Tensor y = new_rows(x, problem.o);
    problem.y.data = y.mutable_data_ptr();
    Tensor z;
    if (wants_z) {
      z = new_rows(x, problem.o);
      problem.z.data = z.mutable_data_ptr();
    }
    launch(problem, call, y);
    return {y, z};
  }

  static std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz,
                                                     const std::optional<Tensor>& x,
                                                     const std::optional<Tensor>& weight,
                                                     const RaggedRows& rows, bool wants_dbias,
                                                     KernelFamily family) {
    const c10::cuda::CUDAGuard device(dz.device());
    check_is_not_captured();
    const UploadedRanges uploaded(rows, dz.device());
    return backward(dz, x.value_or(Tensor()), weight.value_or(Tensor()), rows, uploaded.ranges(),
                    wants_dbias, family);
  }

 private:
  static std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const Tensor& x,
                                                     const Tensor& weight, const RaggedRows& rows,
                                                     const RowRanges& ranges, bool wants_dbias,
                                                     KernelFamily family) {
    const int64_t t = int64_t(rows.count.size());
    BackwardProblem problem =
        backward_problem(with_steps(dz, t), with_steps(x, t), weight, wants_dbias);
    problem.rows = ranges;
    problem.dx = output_view3(dz, problem.dx, problem.i);
    const PlannedCall call =
        plan(problem, dz.get_device(), family_of_backward(family, problem.dtype));
    if (call.goes_apart) {
      const Tensor dx = std::get<0>(backward(dz, {}, weight, rows, ranges, false, family));
      const auto [none, dweight, dbias] = backward(dz, x, {}, rows, ranges, wants_dbias, family);
      return {dx, dweight, dbias};
    }
    Tensor dx, dweight, dbias;
    if (weight.defined()) {
      dx = new_rows(dz, problem.i);
      problem.dx.data = dx.mutable_data_ptr();
    }
    if (x.defined()) {
      dweight = at::empty({t, problem.i, problem.o}, dz.options());
      problem.dweight.data = dweight.mutable_data_ptr();
    }
    if (wants_dbias) {
      dbias = at::empty({t, problem.o}, dz.options());
      problem.dbias.data = dbias.mutable_data_ptr();
    }
    launch(problem, call, dz);
    return {dx, dweight, dbias};
  }
};

}  // namespace
}  // namespace per_step_dense::cuda

TORCH_LIBRARY_IMPL(per_step_dense, CUDA, m) {
  using Ops = per_step_dense::RaggedOps<per_step_dense::cuda::Kernels>;
  m.impl("ragged_forward", Ops::forward);
  m.impl("ragged_forward_with_preactivation", Ops::forward_with_preactivation);
  m.impl("ragged_backward", Ops::backward);
}
