// The tiles this family is compiled with; the same for every dtype it takes.
#pragma once

#include <cstddef>

#include "kernels/tensor_cores.h"
#include "kernels/tile.h"
#include "problem.h"

namespace per_step_dense::sm80 {

// Of an operand's row, or of its k, a stage of the pipeline holds this many bytes: two steps of
// mma.sync, whose k is 32 bytes in every dtype.
inline constexpr int kBlockKBytes = 64;

// Outputs of a row that a thread stores.
inline constexpr int kStoreElems = 8;

// float16 and bfloat16 in m16n8k16, tfloat32 in m16n8k8.
constexpr bool takes(DType dtype) { return have_tensor_cores(dtype); }

// What a thread has in flight of copies through registers, by the outputs of its warp: more would
// not fit beside their accumulators. Chunks of 8 elements, or single elements.
constexpr int chunks_in_flight(int warp_outputs) { return warp_outputs < 4096 ? 4 : 2; }
constexpr int elements_in_flight(int warp_outputs) { return warp_outputs <= 1024 ? 16 : 8; }

// A block computes kBlockM x kBlockN outputs, a warp kWarpM x kWarpN of them.
template <int kBlockM_, int kBlockN_, int kWarpM_, int kWarpN_, int kStages_>
struct Shape {
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_;
  static constexpr int kWarpM = kWarpM_, kWarpN = kWarpN_;
  static constexpr int kStages = kStages_;
  static constexpr int kThreads = 32 * (kBlockM / kWarpM) * (kBlockN / kWarpN);
  static constexpr size_t kPipelineBytes = size_t(kStages) * (kBlockM + kBlockN) * kBlockKBytes;
};

// grad-weight's outputs are weights, whatever the batch: few rows, or few columns, of the other
// products are a short sum there, or one side of its matrix.
template <class Rows_, class GradWeight_, int kBlocksPerSm_>
struct Tile {
  using Rows = Rows_;  // of forward and grad-input, whose rows are those of the batch
  using GradWeight = GradWeight_;
  // What registers are rationed for: the compiler must stay within 65,536 / (threads * this).
  static constexpr int kBlocksPerSm = kBlocksPerSm_;
  static constexpr int kThreads = Rows::kThreads;
  static_assert(Rows::kThreads == GradWeight::kThreads, "or one launch cannot hold both");
};

using Large = Shape<128, 128, 64, 64, 4>;
using Tall = Shape<128, 64, 64, 32, 4>;
using Small = Shape<64, 64, 32, 32, 4>;
using Narrow = Shape<128, 32, 32, 32, 4>;
using Skinny32 = Shape<32, 128, 32, 32, 5>;
using Skinny16 = Shape<16, 128, 16, 32, 5>;
using Wide = Shape<64, 128, 32, 64, 4>;

// In this order: for large problems, for those between, for small ones, for outputs of few columns,
// and for streams of weights that 32 or 16 rows wait for.
using Tiles = TypeList<Tile<Large, Large, 2>, Tile<Tall, Tall, 3>, Tile<Small, Small, 3>,
                       Tile<Narrow, Small, 3>, Tile<Skinny32, Wide, 3>, Tile<Skinny16, Wide, 3>>;
inline constexpr int kTileCount = 6;

constexpr bool is_tile(int index) { return index >= 0 && index < kTileCount; }

// The same values at run time.
struct ShapeInfo {
  int block_m, block_n, warp_m, warp_n, stages;
  size_t smem_bytes;
};

struct TileInfo {
  ShapeInfo rows, grad_weight;
  int threads, blocks_per_sm;
};

TileInfo tile_info(int index);

}  // namespace per_step_dense::sm80
