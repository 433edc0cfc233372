// The tiles this family is compiled with: those of float16 and bfloat16, and those of tfloat32.
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/tensor_cores.h"
#include "kernels/tile.h"
#include "problem.h"

namespace per_step_dense::sm90 {

// TMA fetches, and wgmma reads, rows of 128 bytes: so many terms of x, so many columns of weight.
inline constexpr int kRowBytes = 128;

inline constexpr int kWgmmaRows = 64;  // of outputs that a warpgroup computes at a time
inline constexpr int kWarpgroupThreads = 128;

constexpr bool takes(DType dtype) { return have_tensor_cores(dtype); }

// How the consumer warpgroups share the work: each takes its rows of every tile; or every second
// tile whole, so that one stores its outputs while the other multiplies; or its columns of every
// tile.
//
// Columns are shared where wgmma takes the operands the other way round, y^T = weight^T x^T: in
// tfloat32 it has no way to transpose an operand in shared memory, so that the weight, which lies
// along its rows, comes as A, through registers.
enum class Sharing { kCooperative, kPingpong, kColumns };

// A block computes kBlockM x kBlockN outputs at a time. The kCluster blocks of a cluster compute
// neighbours along m, and each fetches its share of the weight's tile for all of them.
template <int kElementBytes_, int kBlockM_, int kBlockN_, int kConsumers_, Sharing kSharing_,
          int kStages_, int kCluster_>
struct Tile {
  static constexpr int kElementBytes = kElementBytes_;
  static constexpr int kRowElems = kRowBytes / kElementBytes;
  static constexpr int kBlockK = kRowElems;
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_;
  static constexpr int kConsumers = kConsumers_;
  static constexpr bool kPingpong = kSharing_ == Sharing::kPingpong;
  static constexpr bool kSwapsOperands = kSharing_ == Sharing::kColumns;
  static constexpr int kStages = kStages_;
  static constexpr int kCluster = kCluster_;

  static constexpr int kConsumerRows =
      kSharing_ == Sharing::kCooperative ? kBlockM / kConsumers : kBlockM;
  static constexpr int kConsumerColumns = kSwapsOperands ? kBlockN / kConsumers : kBlockN;
  static constexpr int kThreads = kWarpgroupThreads * (1 + kConsumers);  // one fetches
  static constexpr int kPanels = kBlockN / kRowElems;     // of a tile's columns, each a row wide
  static constexpr int kPanelsOfA = kBlockM / kRowElems;  // of its rows, where A lies along them
  static constexpr int kConsumerPanels = kConsumerColumns / kRowElems;

  static_assert((kSwapsOperands ? kConsumerColumns : kConsumerRows) % kWgmmaRows == 0,
                "or a wgmma has rows of two consumers");
  static_assert(kBlockN % kRowElems == 0 && kBlockN <= 256, "not a shape of wgmma in whole panels");
  static_assert(kPanels % kCluster == 0, "or the blocks of a cluster fetch unequal shares");
  static_assert(!kSwapsOperands || kElementBytes == 4, "wgmma transposes 16-bit elements itself");
};

template <int kBlockM, int kBlockN, int kConsumers, Sharing kSharing, int kStages, int kCluster>
using TileOf16Bits = Tile<2, kBlockM, kBlockN, kConsumers, kSharing, kStages, kCluster>;
template <int kBlockM, int kBlockN, int kConsumers, int kStages>
using TileOfTf32 = Tile<4, kBlockM, kBlockN, kConsumers, Sharing::kColumns, kStages, 1>;

// In this order: for products that arithmetic bounds, by clusters and where rows do not fill them;
// the same where the activation takes long, or for less of everything; for outputs of few columns;
// and for streams of weights that 64 rows or fewer wait for.
using TilesOf16Bits = TypeList<TileOf16Bits<128, 256, 2, Sharing::kCooperative, 3, 2>,
                               TileOf16Bits<128, 256, 2, Sharing::kCooperative, 3, 1>,
                               TileOf16Bits<128, 128, 2, Sharing::kPingpong, 5, 2>,
                               TileOf16Bits<128, 128, 2, Sharing::kPingpong, 5, 1>,
                               TileOf16Bits<128, 64, 2, Sharing::kPingpong, 6, 1>,
                               TileOf16Bits<64, 256, 1, Sharing::kCooperative, 4, 1>,
                               TileOf16Bits<64, 128, 1, Sharing::kCooperative, 8, 1>,
                               TileOf16Bits<64, 64, 1, Sharing::kCooperative, 8, 1>>;
// For large products, and for 64 rows or fewer.
using TilesOfTf32 = TypeList<TileOfTf32<128, 128, 2, 5>, TileOfTf32<64, 128, 2, 7>>;

// What a backward makes of a tile. Operands of grad-input lie along k as they are, so that nothing
// is swapped: a consumer takes 64 rows.
template <class T>
using BackwardTile =
    std::conditional_t<T::kSwapsOperands,
                       Tile<T::kElementBytes, T::kBlockM, T::kBlockN, T::kBlockM / kWgmmaRows,
                            Sharing::kCooperative, T::kStages, T::kCluster>,
                       T>;
// Those with kernels for steps whose rows differ, too. Never a cluster, whose neighbours could be
// of different steps.
using RangedTilesOf16Bits = TypeList<TileOf16Bits<128, 128, 2, Sharing::kPingpong, 5, 1>,
                                     TileOf16Bits<64, 256, 1, Sharing::kCooperative, 4, 1>,
                                     TileOf16Bits<64, 64, 1, Sharing::kCooperative, 8, 1>>;
template <class Tile>
inline constexpr bool kTakesRanges =
    is_among<Tile>(RangedTilesOf16Bits{}) || is_among<Tile>(TilesOfTf32{});

template <int kElementBytes>
using TilesOf = std::conditional_t<kElementBytes == 4, TilesOfTf32, TilesOf16Bits>;

constexpr int tile_count(DType dtype) {
  return !takes(dtype) ? 0 : has_16_bits(dtype) ? length(TilesOf16Bits{}) : length(TilesOfTf32{});
}
inline constexpr int kMostTiles = length(TilesOf16Bits{});
constexpr bool is_tile(DType dtype, int index) { return index >= 0 && index < tile_count(dtype); }

// The same values at run time.
struct TileInfo {
  int element_bytes;
  int block_m, block_n, block_k;
  int consumers, consumer_rows;
  bool is_pingpong, swaps_operands;
  int stages, cluster;
  int threads;
  size_t smem_bytes;
  bool takes_ranges;
};

TileInfo tile_info(int index, DType dtype);
TileInfo backward_tile_info(int index, DType dtype);

}  // namespace per_step_dense::sm90
