// Batches whose samples differ in length: which rows each step has.
//
//   packed     (R, F)      step behind step, as torch's PackedSequence has its data
//   padded     (B, T, F)   a sample's row of a step that it does not have is padding
//
// What says so is a tensor of int64 on the CPU: the batch sizes of a packed sequence, (up to T), or
// the lengths of padded samples, (B).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace per_step_dense {

struct RaggedRows {
  enum class Layout {
    kPacked,
    kSorted,    // padded, no sample longer than the one before: step t has the first count[t] rows
    kAnyOrder,  // padded
  };

  Layout layout;
  std::vector<int64_t> begin, count;  // (T) of a step's rows; in any order, as they would be packed
  int64_t total, most;                // the sum and the largest of count
  std::vector<int64_t> lengths;       // (B) of padded samples
};

// Of values that are checked here, for `t` steps; `rows` is packed, (R, F), or padded, (B, T, F).
RaggedRows ragged_rows(const at::Tensor& sizes, const at::Tensor& rows, int64_t t);

// For a result with these rows, of the sizes of `like` but the last: padding is zero, all else is
// yet to be written.
at::Tensor new_ragged_rows(const RaggedRows& rows, const at::Tensor& like, int64_t columns);

}  // namespace per_step_dense
