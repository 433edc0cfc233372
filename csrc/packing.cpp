#include "packing.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros.h>

#include <cstring>

#include "cpu/parallel.h"
#include "upload.h"

namespace per_step_dense {
namespace {

using at::Tensor;

// Of each sample among those of a step: the longest first, those of one length in their order. As
// many are longer than a sample as have the step after its last.
std::vector<int64_t> places_by_length(const RaggedRows& rows) {
  std::vector<int64_t> longer = rows.count, places;
  longer.push_back(0);
  places.reserve(rows.lengths.size());
  for (const int64_t length : rows.lengths) places.push_back(longer[length]++);
  return places;
}

std::vector<int64_t> inverse(const std::vector<int64_t>& places) {
  std::vector<int64_t> order(places.size());
  for (size_t n = 0; n < places.size(); ++n) order[places[n]] = int64_t(n);
  return order;
}

// On the device itself, so that the host does not count rows: the r-th packed row is of the step
// whose rows it lies among, and of the sample that has its place there.
Tensor index_of_packed(const RaggedRows& rows, const std::vector<int64_t>& places,
                       at::Device device) {
  const std::vector<Tensor> known = upload({rows.begin, rows.count, inverse(places)}, device);
  const Tensor &begin = known[0], &count = known[1], &order = known[2];
  const Tensor step = at::repeat_interleave(count, std::optional(rows.total));
  const Tensor place = at::arange(rows.total, count.options()).sub_(begin.index_select(0, step));
  return order.index_select(0, place).mul_(int64_t(rows.count.size())).add_(step);
}

const char* bytes_of(const Tensor& tensor) {
  return static_cast<const char*>(tensor.const_data_ptr());
}
char* mutable_bytes_of(const Tensor& tensor) {
  return static_cast<char*>(tensor.mutable_data_ptr());
}

}  // namespace

Packing::Packing(RaggedRows rows, const Tensor& padded)
    : packed_rows_(std::move(rows)),
      b_(padded.size(0)),
      t_(padded.size(1)),
      place_(places_by_length(packed_rows_)) {
  packed_rows_.layout = RaggedRows::Layout::kPacked;
  if (!padded.is_cpu()) index_ = index_of_packed(packed_rows_, place_, padded.device());
}

Tensor Packing::pack(const Tensor& padded) const {
  if (!padded.is_cpu()) return padded.flatten(0, 1).index_select(0, index_);
  const int64_t columns = padded.size(2);
  const Tensor rows = padded.stride(2) == 1 ? padded : padded.contiguous();
  const Tensor packed = at::empty({packed_rows_.total, columns}, padded.options());
  if (packed.numel() == 0) return packed;
  const int64_t element_bytes = packed.element_size(), row_bytes = columns * element_bytes;
  const char* const from = bytes_of(rows);
  char* const to = mutable_bytes_of(packed);
  cpu::move_in_parallel(b_, packed_rows_.total * row_bytes, [&](int64_t b, int64_t end) {
    for (; b < end; ++b) {
      for (int64_t t = 0; t < packed_rows_.lengths[b]; ++t) {
        std::memcpy(to + (packed_rows_.begin[t] + place_[b]) * row_bytes,
                    from + (b * rows.stride(0) + t * rows.stride(1)) * element_bytes, row_bytes);
      }
    }
  });
  return packed;
}

Tensor Packing::unpack(const Tensor& packed) const {
  const int64_t columns = packed.size(1);
  if (!packed.is_cpu()) {
    const Tensor padded = at::zeros({b_ * t_, columns}, packed.options());
    return padded.index_copy_(0, index_, packed).view({b_, t_, columns});
  }
  const Tensor padded = at::empty({b_, t_, columns}, packed.options());
  if (padded.numel() == 0) return padded;
  const int64_t row_bytes = columns * packed.element_size();
  const char* const from = bytes_of(packed);
  char* const first = mutable_bytes_of(padded);
  cpu::move_in_parallel(b_, b_ * t_ * row_bytes, [&](int64_t b, int64_t end) {
    for (; b < end; ++b) {
      const int64_t length = packed_rows_.lengths[b];
      char* const to = first + b * t_ * row_bytes;
      for (int64_t t = 0; t < length; ++t) {
        std::memcpy(to + t * row_bytes, from + (packed_rows_.begin[t] + place_[b]) * row_bytes,
                    row_bytes);
      }
      std::memset(to + length * row_bytes, 0, (t_ - length) * row_bytes);
    }
  });
  return padded;
}

}  // namespace per_step_dense
