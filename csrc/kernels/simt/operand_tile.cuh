// An operand's rows x k tile on its way from global to shared memory, through registers.
#pragma once

#include "kernels/ptx.cuh"
#include "kernels/simt/config.cuh"
#include "kernels/simt/gemm_list.h"

namespace per_step_dense::simt {

// Each thread carries kElems elements, evenly spaced along whichever dimension is not contiguous,
// so that neighbouring threads read neighbouring addresses in either majorness. Elements outside
// the operand are not read and become zero.
template <class Config, int kRows>
class OperandTile {
  using Scalar = typename Config::Scalar;
  static constexpr int kElems = kRows * Config::kBlockK / Config::kThreads;

 public:
  __device__ OperandTile(const Operand& operand, int64_t t, int64_t first_row, int64_t rows,
                         int64_t k)
      : rows_left_(rows - first_row), k_left_(k) {
    const bool k_is_contiguous = operand.stride_k < operand.stride_row;
    const int tid = threadIdx.x;
    row_ = k_is_contiguous ? tid / Config::kBlockK : tid % kRows;
    k_ = k_is_contiguous ? tid % Config::kBlockK : tid / kRows;
    row_step_ = k_is_contiguous ? Config::kThreads / Config::kBlockK : 0;
    k_step_ = k_is_contiguous ? 0 : Config::kThreads / kRows;
    gmem_ = static_cast<const Scalar*>(operand.data) + t * operand.stride_t +
            (first_row + row_) * operand.stride_row + k_ * operand.stride_k;
    elem_stride_ = row_step_ * operand.stride_row + k_step_ * operand.stride_k;
    tile_stride_ = Config::kBlockK * operand.stride_k;
  }

  // Reads this k-tile into registers and moves on to the next.
  __device__ void fetch() {
#pragma unroll
    for (int j = 0; j < kElems; ++j) {
      const bool inside = row_ + j * row_step_ < rows_left_ && k_ + j * k_step_ < k_left_;
      staged_[j] = inside ? ptx::ld_global_nc(gmem_ + j * elem_stride_) : Scalar(0);
    }
    gmem_ += tile_stride_;
    k_left_ -= Config::kBlockK;
  }

  __device__ void store(Scalar (&smem)[Config::kBlockK][kRows + Config::kPad]) const {
#pragma unroll
    for (int j = 0; j < kElems; ++j) {
      smem[k_ + j * k_step_][row_ + j * row_step_] = staged_[j];
    }
  }

 private:
  const Scalar* gmem_;
  int64_t elem_stride_, tile_stride_;
  int64_t rows_left_, k_left_;
  int row_, k_, row_step_, k_step_;
  Scalar staged_[kElems];
};

}  // namespace per_step_dense::simt
