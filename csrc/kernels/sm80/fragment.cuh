// From shared memory to the registers of mma.sync.
#pragma once

#include "kernels/ptx.cuh"
#include "kernels/sm80/config.cuh"

namespace per_step_dense::sm80 {

// A fragment is 16 rows of an operand at 32 bytes of k, in quarters of 8 rows and 16 bytes. Of each
// quarter a lane has row lane / 4, and 4 bytes of k from lane % 4 * 4 on:
//
//            k    first 16 bytes   second           first 16 bytes   second
//   rows 0-7           a[0]         a[2]                 b[0]         b[1]
//   rows 8-15          a[1]         a[3]                 b[2]         b[3]
//
// That is A as mma.sync takes it, and twice B, whose fragments have 8 columns.
enum class Side { kA, kB };

using Fragment = uint32_t[4];

struct Quarter {
  unsigned second_rows, second_terms;  // 0 or 1
};

template <Side kSide>
__device__ __forceinline__ constexpr Quarter quarter_of(unsigned index) {
  return kSide == Side::kA ? Quarter{index % 2, index / 2} : Quarter{index / 2, index % 2};
}

// Tensor cores would cut the lower bits of float32 off.
__device__ __forceinline__ uint32_t rounded_to_tf32(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return ptx::cvt_rna_tf32(value);
}

// Reads a warp's fragments of an operand's tile.
template <Side kSide, class Config, class Tile>
class FragmentReader {
  static constexpr bool kIsTf32 = sizeof(typename Config::Scalar) == 4;

 public:
  // From row `first_row` of the tile on.
  __device__ __forceinline__ explicit FragmentReader(unsigned first_row) : first_row_(first_row) {
    const unsigned lane = threadIdx.x % 32;
    const Quarter quarter = quarter_of<kSide>(lane / 8);  // of which ldmatrix asks this lane
    unsigned unit_byte;
    if constexpr (!Tile::kIsTransposed) {
      line_ = quarter.second_rows * 8 + lane % 8;
      unit_byte = quarter.second_terms * 16;
    } else if constexpr (!kIsTf32) {
      line_ = quarter.second_terms * 8 + lane % 8;
      unit_byte = quarter.second_rows * 16;
    } else {
      line_ = lane % 4;
      unit_byte = lane / 4 * 4;
    }
    byte_ = unit_byte ^ Tile::permutation(line_);
  }

  // The i-th 16 rows at the given step of k.
  __device__ __forceinline__ void read(const Tile& tile, int i, int step,
                                       Fragment& fragment) const {
    if constexpr (!Tile::kIsTransposed) {
      const unsigned line = first_row_ + i * 16 + line_;
      ptx::ldmatrix_x4(fragment, address(tile, line, step * Config::kStepBytes));
    } else if constexpr (!kIsTf32) {
      const unsigned line = step * 16 + line_;
      ptx::ldmatrix_x4_trans(fragment, address(tile, line, (first_row_ + i * 16) * 2));
    } else {
      read_words(tile, step * 8 + line_, (first_row_ + i * 16) * 4, fragment);
    }
    if constexpr (kIsTf32) {
#pragma unroll
      for (uint32_t& reg : fragment) reg = rounded_to_tf32(reg);
    }
  }

 private:
  // Where this lane reads of the units at `byte` of its line. The lines that a lane reads differ by
  // multiples of 8, or of 4: their permutation is the same. Its bits are kept apart from the
  // others, so that few sums of both are held in registers.
  __device__ __forceinline__ unsigned offset(unsigned line, unsigned byte) const {
    constexpr unsigned kPermuted = Tile::kAllBanksBytes;
    return line * Tile::kLineBytes + byte / kPermuted * kPermuted + (byte % kPermuted ^ byte_);
  }

  __device__ __forceinline__ uint32_t address(const Tile& tile, unsigned line,
                                              unsigned byte) const {
    return ptx::cvta_to_shared(tile.bytes) + offset(line, byte);
  }

  // ldmatrix transposes elements of 16 bits only.
  __device__ __forceinline__ void read_words(const Tile& tile, unsigned line, unsigned byte,
                                             Fragment& fragment) const {
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const Quarter quarter = quarter_of<kSide>(q);
      const unsigned place =
          offset(line + quarter.second_terms * 4, byte + quarter.second_rows * 32);
      __builtin_memcpy(&fragment[q], tile.bytes + place, sizeof(uint32_t));
    }
  }

  unsigned first_row_;
  unsigned line_, byte_;  // of this lane, relative to the rows and the step
};

}  // namespace per_step_dense::sm80
