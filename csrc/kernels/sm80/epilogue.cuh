// What becomes of a finished tile: through shared memory, so that a warp stores stretches of rows;
// bias, activation, what is added to, stores.
#pragma once

#include <type_traits>

#include "kernels/activation.cuh"
#include "kernels/output.cuh"
#include "kernels/sm80/staged_sums.cuh"
#include "kernels/store_group.cuh"

namespace per_step_dense::sm80 {

// Out is what the outputs are stored as: float or the operands' type. Of every kRowsAtATime-th row
// a thread stores a few pieces of kPiece neighbours, by one instruction each. Neighbouring threads'
// pieces are neighbours: however narrow they are, a warp stores whole stretches of rows.
template <class Out, int kPiece, class Config>
class TileStore {
  using Scalar = typename Config::Scalar;
  static constexpr int kPieces = kStoreElems / kPiece;
  static constexpr int kThreadsOfARow = Config::kBlockN / kStoreElems;
  static constexpr int kColumnsAtATime = kThreadsOfARow * kPiece;
  static constexpr int kRowsAtATime = Config::kThreads / kThreadsOfARow;
  static_assert(Config::kThreads % kThreadsOfARow == 0, "or threads do not share a row evenly");
  static_assert(kRowsAtATime % 8 == 0, "or sums lie in other places from row to row");

  // Parts of split sums, in another type, are activated when they are added up.
  static constexpr bool kActivates = Config::Product::kActivates && std::is_same_v<Out, Scalar>;

  using Values = float[kStoreElems];  // of a row, piece by piece

 public:
  __device__ __forceinline__ TileStore(const TiledGemm& tiled, const Coordinates& at)
      : tiled_(tiled),
        at_(at),
        row_(threadIdx.x / kThreadsOfARow),
        column_(threadIdx.x % kThreadsOfARow * kPiece),
        columns_left_(int(min(tiled.gemm.n - at.n0, int64_t{Config::kBlockN})) - column_) {}

  // Row by row, so that the code of a row is there once, which the activations make long.
  __device__ __forceinline__ void store(const StagedSums<Config>& sums) const {
    const Gemm& gemm = tiled_.gemm;
    const int rows = at_.rows;
    if (columns_left_ <= 0 || row_ >= rows) return;  // c may be null where there is no row
    Values bias = {};
    if constexpr (kActivates) {
      if (gemm.bias.data) read_bias(bias);
    }
    Out* z = gemm.z.data ? first_element_of(gemm.z) : nullptr;
    Out* c = first_element_of(gemm.c) + at_.split * tiled_.part_elems;
#pragma unroll 1
    for (int row = row_; row < rows; row += kRowsAtATime) {
      Values values;
      read(sums, row - row_, values);
      if constexpr (kActivates) {
#pragma unroll
        for (int e = 0; e < kStoreElems; ++e) values[e] += bias[e];
        if (gemm.z.data) {
          store_pieces(z, gemm.z.stride_n, values);
          z += kRowsAtATime * gemm.z.stride_m;
        }
        activate_all<Scalar>(gemm.activation, values);
      }
      if constexpr (Config::kSumsRows) {
        if (gemm.accumulation != Accumulation::kOverwrite) add_stored_pieces(c, values);
      }
      store_pieces(c, gemm.c.stride_n, values);
      c += kRowsAtATime * gemm.c.stride_m;
    }
  }

 private:
  __device__ __forceinline__ Out* first_element_of(const Matrix& matrix) const {
    return element_at<Out>(matrix, at_.t, at_.m0 + row_, at_.n0 + column_);
  }

  // Calls visit(piece's first element, values of it) for the pieces inside; they lie there wholly.
  template <class Elem, class Visit>
  __device__ __forceinline__ void for_each_piece(Elem* gmem, int64_t stride, Values& values,
                                                 Visit&& visit) const {
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      const int column = piece * kColumnsAtATime;
      if (column < columns_left_) visit(gmem + column * stride, values + piece * kPiece);
    }
  }

  __device__ __forceinline__ void read_bias(Values& bias) const {
    const Vector& vector = tiled_.gemm.bias;
    for_each_piece(element_at<Scalar>(vector, at_.t, at_.n0 + column_), vector.stride_n, bias,
                   [&](const Scalar* gmem, float* piece) {
#pragma unroll
                     for (int e = 0; e < kPiece; ++e) {
                       piece[e] = to_accum(ptx::ld_global_nc(gmem + e * vector.stride_n));
                     }
                   });
  }

  __device__ __forceinline__ void read(const StagedSums<Config>& sums, int below,
                                       Values& values) const {
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      sums.template read<kPiece>(row_, below, column_ + piece * kColumnsAtATime,
                                 values + piece * kPiece);
    }
  }

  // Pieces of more than one element are contiguous.
  __device__ __forceinline__ void add_stored_pieces(const Out* gmem, Values& values) const {
    for_each_piece(gmem, kPiece > 1 ? 1 : tiled_.gemm.c.stride_n, values,
                   [](const Out* from, float* piece) { add_stored_vector<kPiece>(from, piece); });
  }

  __device__ __forceinline__ void store_pieces(Out* gmem, int64_t stride, Values& values) const {
    for_each_piece(gmem, kPiece > 1 ? 1 : stride, values,
                   [](Out* to, const float* piece) { store_vector<kPiece>(to, piece); });
  }

  const TiledGemm& tiled_;
  const Coordinates& at_;
  int row_, column_;  // the thread's first, inside the tile
  int columns_left_;  // from there to where the row or the tile ends
};

// By the widest pieces that c and z allow.
template <class Out, class Config, int kPiece = kVectorBytes / int(sizeof(Out))>
__device__ __forceinline__ void store_tile(const TiledGemm& tiled, const Coordinates& at,
                                           const StagedSums<Config>& sums) {
  if constexpr (kPiece > 1) {
    if (tiled.store_elems < kPiece) return store_tile<Out, Config, kPiece / 2>(tiled, at, sums);
  }
  TileStore<Out, kPiece, Config>(tiled, at).store(sums);
}

}  // namespace per_step_dense::sm80
