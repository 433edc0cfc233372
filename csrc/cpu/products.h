// The products of all steps, shared between threads.
#pragma once

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/kernels.h"

namespace per_step_dense::cpu {

// For the instruction set that torch uses itself (ATEN_CPU_CAPABILITY overrides it), or for a part
// of it; null where there are none.
const Kernels* kernels_or_null();

// Whether those are all of it: torch's own vectors are no longer than theirs.
bool has_torchs_vectors();

inline int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// A product for every step: the first one's, and how far it is to the next one's.
struct Products {
  Product first;
  int64_t a_step, b_step, c_step, bias_step = 0;  // column sums: n
  // The sums may be cut into parts of so many terms, whose results lie c_part elements apart, and
  // the sums of columns sums_part.
  int64_t parts_of_sum = 1, terms = first.k, c_part = 0, sums_part = 0;
  // Every product is cut into parts of so many rows and columns.
  int64_t rows = std::max<int64_t>(first.m, 1), columns = std::max<int64_t>(first.n, 1);

  int64_t row_parts() const { return divide_up(first.m, rows); }
  int64_t tasks_a_step() const { return parts_of_sum * row_parts() * divide_up(first.n, columns); }
  int64_t workspace_bytes() const;
  // Of a step. Not an integer: expanded operands may have more than 64 bits count.
  double multiply_adds() const { return double(first.m) * double(first.n) * double(first.k); }

  // One of the tasks of a step.
  void compute(int64_t step, int64_t task, void* workspace) const;
};

// Of so many steps. All products of a step are tasks one after another, for they share operands.
void compute(int64_t steps, c10::SmallVector<Products, 2> all);

// Of one step each.
void compute_each(std::vector<Products> all);

}  // namespace per_step_dense::cpu
