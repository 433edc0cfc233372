#include "ragged_rows.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "batch.h"
#include "cpu/parallel.h"

namespace per_step_dense {
namespace {

using at::Tensor;
using Layout = RaggedRows::Layout;

std::vector<int64_t> values_of(const Tensor& sizes) {
  std::vector<int64_t> values;
  TORCH_CHECK_VALUE(!sizes.is_meta(),
                    "per_step_dense: batch_sizes and lengths must have values here; got meta");
  if (sizes.key_set().has(c10::DispatchKey::FuncTorchGradWrapper)) {  // which has no memory
    for (int64_t n = 0; n < sizes.numel(); ++n) values.push_back(sizes[n].item<int64_t>());
    return values;
  }
  // What is negated, or zero, without having been computed has other values in memory.
  const bool lies_so = !sizes.is_neg() && !sizes._is_zerotensor();
  const Tensor contiguous =
      lies_so ? sizes.contiguous() : at::empty(sizes.sizes(), at::kLong).copy_(sizes);
  const auto* const data = contiguous.const_data_ptr<int64_t>();
  values.assign(data, data + contiguous.numel());
  return values;
}

// Step behind step.
RaggedRows with_counts(Layout layout, std::vector<int64_t> count) {
  RaggedRows rows{layout, {}, std::move(count), 0, 0, {}};
  rows.begin.reserve(rows.count.size());
  for (const int64_t own : rows.count) {
    rows.begin.push_back(rows.total);
    rows.total += own;
    rows.most = std::max(rows.most, own);
  }
  return rows;
}

// Of what is not negative, at most the largest number there is: a sum that wraps around could be
// any.
int64_t sum_of(const std::vector<int64_t>& values) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  int64_t sum = 0;
  for (const int64_t value : values) sum = value > kMost - sum ? kMost : sum + value;
  return sum;
}

RaggedRows of_batch_sizes(std::vector<int64_t> count, int64_t rows, int64_t t) {
  for (size_t step = 0; step < count.size(); ++step) {
    TORCH_CHECK_VALUE(count[step] >= 0, "per_step_dense: batch_sizes must not be negative; got ",
                      count[step], " at step ", step);
  }
  const int64_t total = sum_of(count);
  TORCH_CHECK_VALUE(total == rows, "per_step_dense: batch_sizes must add up to the ", rows,
                    " rows of the packed sequence; got a sum of ", total);
  count.resize(t);  // steps behind the last have none
  return with_counts(Layout::kPacked, std::move(count));
}

RaggedRows of_lengths(std::vector<int64_t> lengths, int64_t t) {
  for (size_t b = 0; b < lengths.size(); ++b) {
    TORCH_CHECK_VALUE(lengths[b] >= 0 && lengths[b] <= t,
                      "per_step_dense: lengths must lie between 0 and T = ", t, "; got ",
                      lengths[b], " of sample ", b);
  }
  std::vector<int64_t> count(t);  // first of the samples that end with a step
  for (const int64_t length : lengths) {
    if (length > 0) ++count[length - 1];
  }
  std::partial_sum(count.rbegin(), count.rend(), count.rbegin());
  const bool is_sorted = std::is_sorted(lengths.rbegin(), lengths.rend());
  RaggedRows rows = with_counts(is_sorted ? Layout::kSorted : Layout::kAnyOrder, std::move(count));
  if (is_sorted) std::fill(rows.begin.begin(), rows.begin.end(), 0);
  rows.lengths = std::move(lengths);
  return rows;
}

}  // namespace

RaggedRows ragged_rows(const Tensor& sizes, const Tensor& rows, int64_t t) {
  // What a step has is listed: of an expanded weight's steps there may be more than fit the memory.
  constexpr int64_t kMostSteps = int64_t{1} << 25;
  TORCH_CHECK_VALUE(t <= kMostSteps,
                    "per_step_dense: samples that differ in length must have at most ", kMostSteps,
                    " steps; got T = ", t);
  return rows.dim() == 2 ? of_batch_sizes(values_of(sizes), rows.size(0), t)
                         : of_lengths(values_of(sizes), t);
}

Tensor new_ragged_rows(const RaggedRows& rows, const Tensor& like, int64_t columns) {
  const auto sizes = sizes_with_last(like, columns);
  if (like.dim() == 2) return at::empty(sizes, like.options());
  if (!like.is_cpu()) return at::zeros(sizes, like.options());
  const Tensor padded = at::empty(sizes, like.options());
  if (padded.numel() == 0) return padded;
  const int64_t row_bytes = columns * padded.element_size(),
                sample_bytes = like.size(1) * row_bytes;
  auto* const data = static_cast<char*>(padded.mutable_data_ptr());
  const int64_t samples = like.size(0);
  cpu::move_in_parallel(samples, samples * sample_bytes, [&](int64_t b, int64_t end) {
    for (; b < end; ++b) {
      const int64_t own_bytes = rows.lengths[b] * row_bytes;
      std::memset(data + b * sample_bytes + own_bytes, 0, size_t(sample_bytes - own_bytes));
    }
  });
  return padded;
}

}  // namespace per_step_dense
