// An operand's tiles on their way from global to shared memory, one k-tile after the other.
#pragma once

#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"
#include "kernels/tiled/products.h"
#include "kernels/tiled/tiled_gemm.h"

namespace per_step_dense::tiled {

struct TilePlace {
  int row, k;
};

// Which chunks of a tile a thread copies: chunk j of all is that of thread j, j + threads, ..., and
// chunks are numbered along the faster dimension first, so that neighbouring threads read
// neighbouring addresses.
struct ThreadCopies {
  int threads, chunks;  // along the faster dimension
  int chunk_elems;
  bool k_is_fastest;

  __device__ __forceinline__ TilePlace place(int fast, int slow) const {
    return k_is_fastest ? TilePlace{slow, fast} : TilePlace{fast, slow};
  }
  __device__ __forceinline__ TilePlace first() const {
    return place(int(threadIdx.x) % chunks * chunk_elems, int(threadIdx.x) / chunks);
  }
  // From the thread's first chunk to its j-th.
  __device__ __forceinline__ TilePlace step(int j) const {
    const int copies_a_line = max(chunks / threads, 1), lines_a_copy = max(threads / chunks, 1);
    return place(j % copies_a_line * threads * chunk_elems, j / copies_a_line * lines_a_copy);
  }
};

// What lies outside the operand is not read and becomes zero. Tile says where an element lies in
// shared memory; its chunks of 16 bytes along the contiguous dimension are contiguous there.
template <class Config, class Tile>
class OperandCopy {
  using Scalar = typename Config::Scalar;
  static constexpr int kRows = Tile::kRows;
  static constexpr Major kMajor = Tile::kMajor;
  static constexpr int kElementBytes = sizeof(Scalar);

 public:
  // From row `first_row` of `rows` and term `first_k` on.
  __device__ __forceinline__ OperandCopy(const Operand& operand, const OperandAccess& access,
                                         int64_t t, int64_t first_row, int64_t rows,
                                         int64_t first_k)
      : operand_(operand), access_(access), rows_left_(int(min(rows - first_row, int64_t(kRows)))) {
    const TilePlace own = copies(access.copy_bytes, access.k_is_fastest).first();
    gmem_ = static_cast<const Scalar*>(operand.data) + t * operand.stride_t +
            (first_row + own.row) * operand.stride_row + (first_k + own.k) * operand.stride_k;
  }

  // Begins the copy of the next k-tile, of which k_left terms, at least one, are inside. It is
  // complete, for this thread, when its group is.
  __device__ __forceinline__ void issue(Tile& tile, int k_left) {
    switch (access_.copy_bytes) {
      case 16:
        copy_chunks<16>(tile, k_left);
        break;
      case 8:
        copy_chunks<8>(tile, k_left);
        break;
      case 4:
        copy_chunks<4>(tile, k_left);
        break;
      default:
        copy_16_bit_elements(tile, k_left);
    }
    gmem_ += Config::kBlockK * operand_.stride_k;
  }

 private:
  static __device__ __forceinline__ ThreadCopies copies(int copy_bytes, bool k_is_fastest) {
    const int chunk_elems = copy_bytes / kElementBytes;
    const int elems = k_is_fastest ? Config::kBlockK : kRows;
    return {Config::kThreads, elems / chunk_elems, chunk_elems, k_is_fastest};
  }

  __device__ __forceinline__ const Scalar* source(const TilePlace& step) const {
    return gmem_ + step.row * operand_.stride_row + step.k * operand_.stride_k;
  }

  // Elements inside the operand, from (row, k) on along the tile's contiguous dimension.
  __device__ __forceinline__ int elements_left(int row, int k, int k_left) const {
    if (row >= rows_left_ || k >= k_left) return 0;
    return kMajor == Major::kK ? k_left - k : rows_left_ - row;
  }

  // A chunk of several elements is contiguous in the tile and in the operand; of one, it comes from
  // and goes anywhere.
  template <int kBytes>
  __device__ __forceinline__ void copy_chunks(Tile& tile, int k_left) const {
    if constexpr (kBytes > kElementBytes) {
      copy_evenly<kBytes>(tile, k_left, copies(kBytes, kMajor == Major::kK));
    } else if constexpr (kBytes == kElementBytes) {
      if (access_.k_is_fastest) {
        copy_evenly<kBytes>(tile, k_left, copies(kBytes, true));
      } else {
        copy_evenly<kBytes>(tile, k_left, copies(kBytes, false));
      }
    }
  }

  template <int kBytes>
  __device__ __forceinline__ void copy_evenly(Tile& tile, int k_left,
                                              const ThreadCopies& own) const {
    constexpr int kCopies = kRows * Config::kBlockK * kElementBytes / kBytes / Config::kThreads;
    const TilePlace first = own.first();
#pragma unroll
    for (int j = 0; j < kCopies; ++j) {
      const TilePlace step = own.step(j);
      const int row = first.row + step.row, k = first.k + step.k;
      const int bytes = min(elements_left(row, k, k_left) * kElementBytes, kBytes);
      ptx::cp_async<kBytes>(ptx::cvta_to_shared(tile.at(row, k)), source(step), bytes);
    }
  }

  // Through registers: cp.async knows no copy of 2 bytes.
  __device__ __forceinline__ void copy_16_bit_elements(Tile& tile, int k_left) const {
    if constexpr (kElementBytes == 2) {
      constexpr int kCopies = kRows * Config::kBlockK / Config::kThreads;
      constexpr int kInFlight = Config::kElementsInFlight;
      const ThreadCopies own = copies(kElementBytes, access_.k_is_fastest);
      const TilePlace first = own.first();
#pragma unroll 1
      for (int begin = 0; begin < kCopies; begin += kInFlight) {
        Scalar elements[kInFlight];
#pragma unroll
        for (int e = 0; e < kInFlight; ++e) {
          const TilePlace step = own.step(begin + e);
          const bool inside = elements_left(first.row + step.row, first.k + step.k, k_left) > 0;
          elements[e] = inside ? ptx::ld_global_nc(source(step)) : Scalar{};
        }
#pragma unroll
        for (int e = 0; e < kInFlight; ++e) {
          const TilePlace step = own.step(begin + e);
          *tile.at(first.row + step.row, first.k + step.k) = elements[e];
        }
      }
    }
  }

  const Operand& operand_;
  const OperandAccess& access_;
  const Scalar* gmem_;
  int rows_left_;
};

}  // namespace per_step_dense::tiled
