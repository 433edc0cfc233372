// The tiles this family is compiled with; the same for float16 and bfloat16.
#pragma once

#include <cstddef>

#include "kernels/tile.h"
#include "problem.h"

namespace per_step_dense::sm90 {

// TMA fetches, and wgmma reads, rows of 128 bytes: so many terms of x, so many columns of weight.
inline constexpr int kElementBytes = 2;
inline constexpr int kRowBytes = 128;
inline constexpr int kRowElems = kRowBytes / kElementBytes;
inline constexpr int kBlockK = kRowElems;

inline constexpr int kWgmmaRows = 64;  // of outputs that a warpgroup computes at a time
inline constexpr int kWarpgroupThreads = 128;

constexpr bool takes(DType dtype) { return has_16_bits(dtype); }

// How the consumer warpgroups share the work: each takes its rows of every tile, or every second
// tile whole, so that one stores its outputs while the other multiplies.
enum class Sharing { kCooperative, kPingpong };

// A block computes kBlockM x kBlockN outputs at a time. The kCluster blocks of a cluster compute
// neighbours along m, and each fetches its share of the weight's tile for all of them.
template <int kBlockM_, int kBlockN_, int kConsumers_, Sharing kSharing_, int kStages_,
          int kCluster_>
struct Tile {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_;
  static constexpr int kConsumers = kConsumers_;
  static constexpr bool kPingpong = kSharing_ == Sharing::kPingpong;
  static constexpr int kStages = kStages_;
  static constexpr int kCluster = kCluster_;

  static constexpr int kConsumerRows = kPingpong ? kBlockM : kBlockM / kConsumers;
  static constexpr int kThreads = kWarpgroupThreads * (1 + kConsumers);  // one fetches
  static constexpr int kPanels = kBlockN / kRowElems;  // of a tile's columns, each a row wide

  static_assert(kConsumerRows % kWgmmaRows == 0, "or a wgmma has rows of two consumers");
  static_assert(kBlockN % kRowElems == 0 && kBlockN <= 256, "not a shape of wgmma in whole panels");
  static_assert(kPanels % kCluster == 0, "or the blocks of a cluster fetch unequal shares");
};

// In this order: for products that arithmetic bounds, by clusters and where rows do not fill them;
// the same where the activation takes long, or for less of everything; for outputs of few columns;
// and for streams of weights that 64 rows or fewer wait for.
using Tiles = TypeList<
    Tile<128, 256, 2, Sharing::kCooperative, 3, 2>, Tile<128, 256, 2, Sharing::kCooperative, 3, 1>,
    Tile<128, 128, 2, Sharing::kPingpong, 5, 2>, Tile<128, 128, 2, Sharing::kPingpong, 5, 1>,
    Tile<128, 64, 2, Sharing::kPingpong, 6, 1>, Tile<64, 256, 1, Sharing::kCooperative, 4, 1>,
    Tile<64, 128, 1, Sharing::kCooperative, 8, 1>, Tile<64, 64, 1, Sharing::kCooperative, 8, 1>>;
inline constexpr int kTileCount = 8;

constexpr bool is_tile(int index) { return index >= 0 && index < kTileCount; }

// The same values at run time.
struct TileInfo {
  int block_m, block_n;
  int consumers;
  bool is_pingpong;
  int stages, cluster;
  int threads;
  size_t smem_bytes;
};

TileInfo tile_info(int index);

}  // namespace per_step_dense::sm90
