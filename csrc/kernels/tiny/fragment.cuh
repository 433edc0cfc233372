// A thread's piece of an operand: a few rows of a chunk of k.
#pragma once

#include "kernels/gemm.h"
#include "kernels/tiny/vector.cuh"
#include "kernels/tiny/work.h"

namespace per_step_dense::tiny {

// Rows beyond the operand repeat its last one: their outputs are not stored. Terms beyond its k are
// zeros, and are not read.
template <class Scalar, int kRows, int kChunk, Access kAccess>
class Fragment {
  // A line is what lies side by side in memory.
  static constexpr bool kAlongRows = kAccess == Access::kAlongRows;
  static constexpr int kLines = kAlongRows ? kChunk : kRows;
  static constexpr int kElems = kAlongRows ? kRows : kChunk;

 public:
  static constexpr int kTerms = kChunk;

  __device__ __forceinline__ Scalar at(int row, int k) const {
    return kAlongRows ? line_[k][row] : line_[row][k];
  }

  // All terms are there. `rows` is what is left of the operand; along rows they are all there.
  __device__ __forceinline__ void load(const Scalar* gmem, const Operand& operand, int rows) {
    if constexpr (kAccess == Access::kElements) {
      load_elements(gmem, operand, rows, kChunk);
    } else {
#pragma unroll
      for (int line = 0; line < kLines; ++line) {
        const int64_t offset =
            kAlongRows ? line * operand.stride_k : min(line, rows - 1) * operand.stride_row;
        load_vectors(gmem + offset, line_[line]);
      }
    }
  }

  // Only the first terms are there.
  __device__ __forceinline__ void load_elements(const Scalar* gmem, const Operand& operand,
                                                int rows, int terms) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const Scalar* gmem_row = gmem + min(row, rows - 1) * operand.stride_row;
#pragma unroll
      for (int k = 0; k < kChunk; ++k) {
        const Scalar elem =
            k < terms ? ptx::ld_global_nc(gmem_row + k * operand.stride_k) : Scalar{};
        (kAlongRows ? line_[k][row] : line_[row][k]) = elem;
      }
    }
  }

 private:
  Scalar line_[kLines][kElems];
};

}  // namespace per_step_dense::tiny
