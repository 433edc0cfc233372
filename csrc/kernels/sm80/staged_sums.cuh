// A tile's finished sums in shared memory, where threads take them over from each other.
#pragma once

#include "kernels/sm80/mainloop.cuh"

namespace per_step_dense::sm80 {

// Row by row in units of 8 columns. Units, and the halves of a unit, change places from row to row:
// a fragment's pairs of columns, of 4 rows at a time, and what threads read at a time, of 1 to 8
// rows, lie in different banks.
template <class Config>
class StagedSums {
  static constexpr int kUnit = 8, kHalf = kUnit / 2;
  static_assert(Config::kBlockN % (4 * kUnit) == 0, "or units leave their row");

 public:
  __device__ __forceinline__ explicit StagedSums(SharedStorage<Config>& smem)
      : sums_(reinterpret_cast<float*>(&smem.stage)) {}

  __device__ __forceinline__ void write(const Accumulators<Config>& accum,
                                        const WarpPlace<Config>& warp) {
    const unsigned lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < Config::kFragmentsM; ++i) {
#pragma unroll
      for (int j = 0; j < Config::kFragmentsN; ++j) {
        const float(&sums)[4] = accum.fragment[i][j];
        const unsigned row = warp.m + i * 16 + lane / 4, column = warp.n + j * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(at(row, column)) = make_float2(sums[0], sums[1]);
        *reinterpret_cast<float2*>(at(row + 8, column)) = make_float2(sums[2], sums[3]);
      }
    }
  }

  // kCount neighbours, the first of them at a multiple of kCount. The row is so many below another,
  // a multiple of 8: then its places are the same, and found once for all.
  template <int kCount>
  __device__ __forceinline__ void read(unsigned row, unsigned below, unsigned column,
                                       float* values) const {
    constexpr int kRead = kCount < kHalf ? kCount : kHalf;
    struct alignas(kRead * sizeof(float)) Neighbours {
      float sum[kRead];
    };
#pragma unroll
    for (int e = 0; e < kCount; e += kRead) {
      const auto neighbours =
          *reinterpret_cast<const Neighbours*>(at(row, column + e) + below * Config::kBlockN);
#pragma unroll
      for (int i = 0; i < kRead; ++i) values[e + i] = neighbours.sum[i];
    }
  }

 private:
  __device__ __forceinline__ float* at(unsigned row, unsigned column) const {
    const unsigned unit = column / kUnit, half = column / kHalf % 2;
    const unsigned own_unit = unit ^ (row % 2 * 2 + row / 2 % 2);
    const unsigned own_half = half ^ ((unit / 4 ^ row ^ row / 4) & 1);
    return sums_ + row * Config::kBlockN + own_unit * kUnit + own_half * kHalf + column % kHalf;
  }

  float* sums_;
};

}  // namespace per_step_dense::sm80
