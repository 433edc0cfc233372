// From padded samples in any order to packed rows, and back.
#pragma once

#include "ragged_rows.h"

namespace per_step_dense {

class Packing {
 public:
  // On the device of `padded`, (B, T, F).
  Packing(RaggedRows rows, const at::Tensor& padded);

  const RaggedRows& packed_rows() const { return packed_rows_; }
  at::Tensor pack(const at::Tensor& padded) const;    // (B, T, F) -> (R, F)
  at::Tensor unpack(const at::Tensor& packed) const;  // (R, F) -> (B, T, F), padded with zeros

 private:
  RaggedRows packed_rows_;
  int64_t b_, t_;
  std::vector<int64_t> place_;  // (B) of a sample among those of each step, the longest first
  at::Tensor index_;  // (R) of the packed rows among the (B T) of the samples; not on a CPU
};

}  // namespace per_step_dense
