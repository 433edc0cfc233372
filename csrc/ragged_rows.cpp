#include "ragged_rows.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "upload.h"

namespace per_step_dense {
namespace {

using at::Tensor;
using Layout = RaggedRows::Layout;

std::vector<int64_t> values_of(const Tensor& sizes) {
  std::vector<int64_t> values;
  if (sizes.key_set().has(c10::DispatchKey::FuncTorchGradWrapper)) {  // which has no memory
    for (int64_t n = 0; n < sizes.numel(); ++n) values.push_back(sizes[n].item<int64_t>());
    return values;
  }
  const Tensor contiguous = sizes.contiguous();
  const auto* const data = contiguous.const_data_ptr<int64_t>();
  values.assign(data, data + contiguous.numel());
  return values;
}

// Step behind step.
RaggedRows with_counts(Layout layout, std::vector<int64_t> count) {
  RaggedRows rows{layout, {}, std::move(count), 0, 0};
  rows.begin.reserve(rows.count.size());
  for (const int64_t own : rows.count) {
    rows.begin.push_back(rows.total);
    rows.total += own;
    rows.most = std::max(rows.most, own);
  }
  return rows;
}

RaggedRows of_batch_sizes(std::vector<int64_t> count, int64_t rows, int64_t t) {
  for (size_t step = 0; step < count.size(); ++step) {
    TORCH_CHECK_VALUE(count[step] >= 0, "per_step_dense: batch_sizes must not be negative; got ",
                      count[step], " at step ", step);
  }
  const int64_t total = std::accumulate(count.begin(), count.end(), int64_t{0});
  TORCH_CHECK_VALUE(total == rows, "per_step_dense: batch_sizes must add up to the ", rows,
                    " rows of the packed sequence; got a sum of ", total);
  count.resize(t);  // steps behind the last have none
  return with_counts(Layout::kPacked, std::move(count));
}

RaggedRows of_lengths(const std::vector<int64_t>& lengths, int64_t t) {
  std::vector<int64_t> count(t);  // first of the samples that end with a step
  for (size_t b = 0; b < lengths.size(); ++b) {
    TORCH_CHECK_VALUE(lengths[b] >= 0 && lengths[b] <= t,
                      "per_step_dense: lengths must lie between 0 and T = ", t, "; got ",
                      lengths[b], " of sample ", b);
    if (lengths[b] > 0) ++count[lengths[b] - 1];
  }
  std::partial_sum(count.rbegin(), count.rend(), count.rbegin());
  const bool is_sorted = std::is_sorted(lengths.rbegin(), lengths.rend());
  RaggedRows rows = with_counts(is_sorted ? Layout::kSorted : Layout::kAnyOrder, std::move(count));
  if (is_sorted) std::fill(rows.begin.begin(), rows.begin.end(), 0);
  return rows;
}

// The samples, the longest first, and those of one length in their order.
std::vector<int64_t> by_length(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t one, int64_t other) { return lengths[one] > lengths[other]; });
  return order;
}

}  // namespace

RaggedRows ragged_rows(const Tensor& sizes, const Tensor& rows, int64_t t) {
  return rows.dim() == 2 ? of_batch_sizes(values_of(sizes), rows.size(0), t)
                         : of_lengths(values_of(sizes), t);
}

// On the device itself, so that the host does not count rows there: the r-th packed row is of the
// step whose rows it lies among, and of the sample that has its place there.
Packing::Packing(const RaggedRows& rows, const Tensor& lengths, const Tensor& padded)
    : packed_rows_(rows), b_(padded.size(0)), t_(padded.size(1)) {
  packed_rows_.layout = Layout::kPacked;
  const std::vector<Tensor> known =
      upload({rows.begin, rows.count, by_length(values_of(lengths))}, padded.device());
  const Tensor &begin = known[0], &count = known[1], &order = known[2];
  const Tensor step = at::repeat_interleave(count, std::optional(rows.total));
  const Tensor place = at::arange(rows.total, count.options()).sub_(begin.index_select(0, step));
  index_ = order.index_select(0, place).mul_(t_).add_(step);
}

Tensor Packing::pack(const Tensor& padded) const {
  return padded.reshape({b_ * t_, padded.size(2)}).index_select(0, index_);
}

Tensor Packing::unpack(const Tensor& packed) const {
  const int64_t columns = packed.size(1);
  const Tensor padded = at::zeros({b_ * t_, columns}, packed.options());
  padded.index_copy_(0, index_, packed);
  return padded.view({b_, t_, columns});
}

}  // namespace per_step_dense
