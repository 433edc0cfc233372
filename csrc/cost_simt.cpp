#include <algorithm>
#include <cmath>
#include <iterator>

#include "cost_parts.h"
#include "kernels/simt/tiles.h"

namespace per_step_dense::cost {
namespace {

// What a tile reaches of the FMA rate, by index: a thread's 8 x 8, 8 x 4, 4 x 4 or 4 x 8 outputs
// set 16, 11, 8 or 11 FMA against each 16 bytes from shared memory. To be measured.
constexpr double kEfficiency[] = {0.9, 0.7, 0.4, 0.6};
static_assert(std::size(kEfficiency) == simt::kTileCount, "or a tile has no figure");
constexpr double k16BitEfficiency = 0.8;  // conversions take issue slots
constexpr int kWarpsThatFillAnSm = 8;     // two a scheduler hide the latency of shared memory

struct Blocks {
  double count = 0;
  double k_steps = 0;  // a block
};

Blocks blocks_of(const Gemm& gemm, const simt::TileInfo& tile, int splits, DType dtype) {
  if (!is_wanted(gemm)) return {};
  const int64_t block_k = simt::kBlockKBytes / bytes_of(dtype);
  const int64_t tiles_m = std::max<int64_t>(ceil_div(gemm.m, tile.block_m), 1);
  const int64_t tiles = gemm.t * tiles_m * ceil_div(gemm.n, tile.block_n);
  return {double(tiles) * splits, double(ceil_div(ceil_div(gemm.k, block_k), splits))};
}

// A block's time while `residents` of its kind share its multiprocessor.
double block_us(const simt::TileInfo& tile, int index, double k_steps, double residents,
                DType dtype, const Architecture& architecture) {
  const double efficiency = kEfficiency[index] * (bytes_of(dtype) == 2 ? k16BitEfficiency : 1);
  const double warps = residents * tile.threads / 32;
  const double occupied = std::min(warps / kWarpsThatFillAnSm, 1.0);
  const double rate = fma_flops_of_an_sm(dtype, architecture) * efficiency * occupied;
  const double block_k = double(simt::kBlockKBytes / bytes_of(dtype));
  const double step_us = kUs * residents * 2 * tile.block_m * tile.block_n * block_k / rate;
  return kPrologueUs + kEpilogueUs + k_steps * std::max(step_us, kLatencyUs / (tile.stages - 1));
}

// Multiprocessors take blocks as they come: full rounds, then what is left over.
double sm_us(const Products& products, const Choice& choice, DType dtype,
             const Architecture& architecture) {
  const simt::TileInfo tile = simt::tile_info(choice.tile, dtype);
  Blocks blocks[kMaxProducts];
  double count = 0;
  for (int p = 0; p < kMaxProducts; ++p) {
    blocks[p] = blocks_of(products.gemm[p], tile, choice.splits[p], dtype);
    count += blocks[p].count;
  }
  const double residents =
      std::clamp(std::ceil(count / architecture.sms), 1.0, double(tile.blocks_per_sm));
  const double slots = architecture.sms * residents;
  double total = 0, longest = 0, shortest = 0;
  for (const Blocks& kind : blocks) {
    if (kind.count == 0) continue;
    const double us = block_us(tile, choice.tile, kind.k_steps, residents, dtype, architecture);
    total += kind.count * us;
    longest = std::max(longest, us);
    shortest = shortest == 0 ? us : std::min(shortest, us);
  }
  if (count <= slots) return longest;
  const bool leaves_a_tail = std::fmod(count, slots) != 0;
  return std::max(longest, total / slots + (leaves_a_tail ? shortest / 2 : 0));
}

double l2_us(const Products& products, const Choice& choice, DType dtype,
             const Architecture& architecture) {
  const simt::TileInfo tile = simt::tile_info(choice.tile, dtype);
  double elems = 0;
  for (int p = 0; p < kMaxProducts; ++p) {
    const Gemm& gemm = products.gemm[p];
    const Blocks blocks = blocks_of(gemm, tile, choice.splits[p], dtype);
    const int64_t lines =
        std::min<int64_t>(tile.block_m, gemm.m) + std::min<int64_t>(tile.block_n, gemm.n);
    elems += blocks.count * double(lines) * double(gemm.k) / choice.splits[p];
  }
  return kUs * elems * double(bytes_of(dtype)) / architecture.l2_bandwidth;
}

}  // namespace

double simt_us(const Products& products, const Choice& choice, DType dtype,
               const Architecture& architecture) {
  return std::max(sm_us(products, choice, dtype, architecture),
                  l2_us(products, choice, dtype, architecture));
}

}  // namespace per_step_dense::cost
