// An operand's tiles on their way from global to shared memory, one k-tile after the other.
#pragma once

#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"
#include "kernels/tiled/misaligned_chunk.cuh"
#include "kernels/tiled/products.h"
#include "kernels/tiled/tiled_gemm.h"

namespace per_step_dense::tiled {

// Chunk j of a tile is copied by thread j, j + threads, ...; chunks are numbered along the faster
// dimension first, so that neighbouring threads read neighbouring addresses. What lies outside the
// operand is not read and becomes zero.
//
// Tile says where an element lies in shared memory; its chunks of 16 bytes along the contiguous
// dimension are contiguous there.
template <class Config, class Tile>
class OperandCopy {
  using Scalar = typename Config::Scalar;
  static constexpr int kRows = Tile::kRows, kThreads = Config::kThreads;
  static constexpr Major kMajor = Tile::kMajor;
  static constexpr int kElementBytes = sizeof(Scalar);

  // How chunks of so many elements lie in lines of the tile.
  template <int kChunkElems, bool kKIsFastest>
  struct Chunks {
    static constexpr int kOfALine = (kKIsFastest ? Config::kBlockK : kRows) / kChunkElems;
    static constexpr int kCopiesALine = kOfALine > kThreads ? kOfALine / kThreads : 1;
    static constexpr int kLinesACopy = kOfALine > kThreads ? 1 : kThreads / kOfALine;
    static constexpr int kCount = kRows * Config::kBlockK / kChunkElems;
    static constexpr int kCopies = (kCount + kThreads - 1) / kThreads;  // of a thread
    static_assert(kCopies * kThreads == kCount || kCopies == 1, "or copies are not even");
  };

 public:
  // From row `first_row` on, of which `rows` are inside, and from term `first_k` on.
  __device__ __forceinline__ OperandCopy(const Operand& operand, const OperandAccess& access,
                                         int64_t t, int64_t first_row, int rows, int64_t first_k)
      : operand_(operand), access_(access), rows_left_(rows) {
    const unsigned chunk_elems = unsigned(access.copy_bytes) / kElementBytes;
    const bool k_is_fastest = access.k_is_fastest;
    const unsigned chunks = unsigned(k_is_fastest ? Config::kBlockK : kRows) / chunk_elems;
    const unsigned fast = threadIdx.x % chunks * chunk_elems, slow = threadIdx.x / chunks;
    row_ = k_is_fastest ? slow : fast;
    k_ = k_is_fastest ? fast : slow;
    gmem_ = static_cast<const Scalar*>(operand.data) + t * operand.stride_t +
            (first_row + row_) * operand.stride_row + (first_k + k_) * operand.stride_k;
    line_step_ = int64_t(max(kThreads / chunks, 1u)) *
                 (k_is_fastest ? operand.stride_row : operand.stride_k);
  }

  // Begins the copy of the next k-tile, of which k_left terms, at least one, are inside. It is
  // complete, for this thread, when its group is.
  __device__ __forceinline__ void issue(Tile& tile, int k_left) {
    if (Config::kRealigns && !access_.is_aligned) {
      copy_misaligned_chunks(tile, k_left);
    } else {
      copy_aligned(tile, k_left);
    }
    gmem_ += Config::kBlockK * operand_.stride_k;
  }

 private:
  __device__ __forceinline__ void copy_aligned(Tile& tile, int k_left) const {
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
        if (access_.k_is_fastest) {
          copy_16_bit_elements<true>(tile, k_left);
        } else {
          copy_16_bit_elements<false>(tile, k_left);
        }
    }
  }

  // A thread's place in its j-th copy.
  struct Place {
    unsigned row, k;
  };
  template <class Chunks, bool kKIsFastest, int kChunkElems>
  __device__ __forceinline__ Place place(int j) const {
    const unsigned fast = j % Chunks::kCopiesALine * kThreads * kChunkElems;
    const unsigned slow = j / Chunks::kCopiesALine * Chunks::kLinesACopy;
    return kKIsFastest ? Place{row_ + slow, k_ + fast} : Place{row_ + fast, k_ + slow};
  }

  // Elements inside the operand, from there on along the tile's contiguous dimension.
  __device__ __forceinline__ int elements_left(const Place& at, int k_left) const {
    const int row = int(at.row), k = int(at.k);
    if (row >= rows_left_ || k >= k_left) return 0;
    return kMajor == Major::kK ? k_left - k : rows_left_ - row;
  }

  // A chunk of several elements is contiguous in the tile and in the operand, and most tiles have
  // no edge to look out for; of one element, it comes from and goes anywhere.
  template <int kBytes>
  __device__ __forceinline__ void copy_chunks(Tile& tile, int k_left) const {
    if constexpr (kBytes > kElementBytes) {
      constexpr bool kKIsFastest = kMajor == Major::kK;
      if (rows_left_ >= kRows && k_left >= Config::kBlockK) {
        copy_evenly<kBytes, kKIsFastest, /*kIsInside=*/true>(tile, k_left);
      } else {
        copy_evenly<kBytes, kKIsFastest, /*kIsInside=*/false>(tile, k_left);
      }
    } else if constexpr (kBytes == kElementBytes) {
      if (access_.k_is_fastest) {
        copy_evenly<kBytes, true, /*kIsInside=*/false>(tile, k_left);
      } else {
        copy_evenly<kBytes, false, /*kIsInside=*/false>(tile, k_left);
      }
    }
  }

  template <int kBytes, bool kKIsFastest, bool kIsInside>
  __device__ __forceinline__ void copy_evenly(Tile& tile, int k_left) const {
    constexpr int kChunkElems = kBytes / kElementBytes;
    using Chunks = Chunks<kChunkElems, kKIsFastest>;
    if (Chunks::kCount < kThreads && threadIdx.x >= Chunks::kCount) return;
    const int64_t stride_fast = kKIsFastest ? operand_.stride_k : operand_.stride_row;
    const Scalar* line = gmem_;
    // Were all unrolled, the places of narrow copies would be held in registers all along.
#pragma unroll(kIsInside ? Config::kUnrolledCopiesInside : Config::kUnrolledCopies)
    for (int j = 0; j < Chunks::kCopies; ++j) {
      if (j > 0 && j % Chunks::kCopiesALine == 0) line += line_step_;
      const Scalar* source = line + j % Chunks::kCopiesALine * kThreads * kChunkElems * stride_fast;
      const Place at = place<Chunks, kKIsFastest, kChunkElems>(j);
      const int bytes = kIsInside ? kBytes : min(elements_left(at, k_left) * kElementBytes, kBytes);
      ptx::cp_async<kBytes>(ptx::cvta_to_shared(tile.at(at.row, at.k)), source, bytes);
    }
  }

  // Through registers: cp.async copies nothing that is aligned to 2 bytes only.
  __device__ __forceinline__ void copy_misaligned_chunks(Tile& tile, int k_left) const {
    if constexpr (kElementBytes == 2 && Config::kRealigns) {
      constexpr int kChunkElems = MisalignedChunk::kElems;
      constexpr bool kKIsFastest = kMajor == Major::kK;
      using Chunks = Chunks<kChunkElems, kKIsFastest>;
      if (Chunks::kCount < kThreads && threadIdx.x >= Chunks::kCount) return;
      constexpr int kInFlight =
          Chunks::kCopies < Config::kChunksInFlight ? Chunks::kCopies : Config::kChunksInFlight;
      static_assert(Chunks::kCopiesALine == 1, "or a thread has several chunks of a line");
      const Scalar* line = gmem_;
#pragma unroll 1
      for (int begin = 0; begin < Chunks::kCopies; begin += kInFlight) {
        MisalignedChunk chunk[kInFlight];
#pragma unroll
        for (int c = 0; c < kInFlight; ++c, line += line_step_) {
          const Place at = place<Chunks, kKIsFastest, kChunkElems>(begin + c);
          chunk[c].load(reinterpret_cast<const uint16_t*>(line),
                        min(elements_left(at, k_left), kChunkElems));
        }
#pragma unroll
        for (int c = 0; c < kInFlight; ++c) {
          const Place at = place<Chunks, kKIsFastest, kChunkElems>(begin + c);
          chunk[c].store(tile.at(at.row, at.k));
        }
      }
    }
  }

  // Through registers: cp.async knows no copy of 2 bytes.
  template <bool kKIsFastest>
  __device__ __forceinline__ void copy_16_bit_elements(Tile& tile, int k_left) const {
    if constexpr (kElementBytes == 2) {
      using Chunks = Chunks<1, kKIsFastest>;
      constexpr int kInFlight =
          Chunks::kCopies < Config::kElementsInFlight ? Chunks::kCopies : Config::kElementsInFlight;
      const int64_t stride_fast = kKIsFastest ? operand_.stride_k : operand_.stride_row;
      const Scalar* line = gmem_;
#pragma unroll 1
      for (int begin = 0; begin < Chunks::kCopies; begin += kInFlight) {
        Scalar elements[kInFlight];
#pragma unroll
        for (int e = 0; e < kInFlight; ++e) {
          const Place at = place<Chunks, kKIsFastest, 1>(begin + e);
          const Scalar* source = line + e % Chunks::kCopiesALine * kThreads * stride_fast;
          const bool inside = elements_left(at, k_left) > 0;
          elements[e] = inside ? ptx::ld_global_nc(source) : Scalar{};
          if ((e + 1) % Chunks::kCopiesALine == 0) line += line_step_;
        }
#pragma unroll
        for (int e = 0; e < kInFlight; ++e) {
          const Place at = place<Chunks, kKIsFastest, 1>(begin + e);
          *tile.at(at.row, at.k) = elements[e];
        }
      }
    }
  }

  const Operand& operand_;
  const OperandAccess& access_;
  const Scalar* gmem_;  // of this thread's first copy
  int64_t line_step_;   // from the lines of a copy to those of the next
  unsigned row_, k_;    // of this thread's first copy, inside the tile
  int rows_left_;
};

}  // namespace per_step_dense::tiled
