// Where the rows of one step lie, in a tensor whose rows are packed or sorted.
#pragma once

#include "ragged_rows.h"

namespace per_step_dense::cpu {

template <class Element>
struct RowsOfStep {
  Element* first;
  int64_t row, column;  // how far it is to the next one
};

// Of what is empty there may be no memory.
inline int64_t offset_of_step(const at::Tensor& tensor, const RaggedRows& rows, int64_t t) {
  if (tensor.numel() == 0) return 0;
  return tensor.dim() == 2 ? rows.begin[t] * tensor.stride(0) : t * tensor.stride(1);
}

template <class Element>
RowsOfStep<const Element> read_step(const at::Tensor& tensor, const RaggedRows& rows, int64_t t) {
  return {tensor.const_data_ptr<Element>() + offset_of_step(tensor, rows, t), tensor.stride(0),
          tensor.stride(-1)};
}

template <class Element>
RowsOfStep<Element> write_step(const at::Tensor& tensor, const RaggedRows& rows, int64_t t) {
  return {tensor.mutable_data_ptr<Element>() + offset_of_step(tensor, rows, t), tensor.stride(0),
          1};
}

inline int64_t steps_of(const RaggedRows& rows) { return int64_t(rows.count.size()); }

}  // namespace per_step_dense::cpu
