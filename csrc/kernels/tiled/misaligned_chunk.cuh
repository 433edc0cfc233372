// 16 bytes of 16-bit elements from anywhere in global memory to an aligned place in shared memory.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/ptx.cuh"

namespace per_step_dense::tiled {

// Loaded by pairs as memory aligns them, of which no element is read that is not inside; where the
// first element is odd, pairs are moved by half a pair on their way out:
//
//   even   [0 1] [2 3] [4 5] [6 7]
//   odd    [. 0] [1 2] [3 4] [5 6] [7 .]
class MisalignedChunk {
 public:
  static constexpr int kElems = 8;

  // The first `count` elements; zeros for the others.
  __device__ __forceinline__ void load(const uint16_t* gmem, int count) {
    const int odd = int(reinterpret_cast<uintptr_t>(gmem) / sizeof(uint16_t) % 2);
    shift_ = odd * 16;
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      const int first = 2 * p - odd;
      const bool has_first = first >= 0 && first < count, has_second = first + 1 < count;
      pair_[p] = 0;
      if (has_first && has_second) {
        pair_[p] = ptx::ld_global_nc(reinterpret_cast<const uint32_t*>(gmem + first));
      } else if (has_first) {
        pair_[p] = ptx::ld_global_nc(gmem + first);
      } else if (has_second) {
        pair_[p] = uint32_t{ptx::ld_global_nc(gmem + first + 1)} << 16;
      }
    }
  }

  __device__ __forceinline__ void store(void* smem) const {
    *static_cast<uint4*>(smem) = make_uint4(moved(0), moved(1), moved(2), moved(3));
  }

 private:
  static constexpr int kPairs = kElems / 2 + 1;

  __device__ __forceinline__ unsigned moved(int p) const {
    return unsigned((uint64_t{pair_[p + 1]} << 32 | pair_[p]) >> shift_);
  }

  uint32_t pair_[kPairs];
  int shift_;
};

}  // namespace per_step_dense::tiled
