#include <algorithm>
#include <iterator>

#include "cost_parts.h"
#include "cost_tiles.h"
#include "kernels/simt/tiles.h"

namespace per_step_dense::cost {
namespace {

// What a tile reaches of the FMA rate, by index: a thread's 8 x 8, 8 x 4, 4 x 4 or 4 x 8 outputs
// set 16, 11, 8 or 11 FMA against each 16 bytes from shared memory. Measured, when reads took more
// requests (docs/h200.md); to be measured anew.
constexpr double kEfficiency[] = {0.66, 0.63, 0.55, 0.55};
static_assert(std::size(kEfficiency) == simt::kTileCount, "or a tile has no figure");
constexpr double k16BitEfficiency = 0.84;  // conversions take issue slots
constexpr int kWarpsThatFillAnSm = 8;      // two a scheduler hide the latency of shared memory

constexpr InFlight kInFlight{4, 4};  // config.cuh's

// Instructions that a warp issues for a copy, and for an output without its activation. Guesses.
constexpr double kCopySlots = 10, kOutputSlots = 20;

double slots_of_copies(const simt::TileInfo& tile, const tiled::OperandAccesses& accesses) {
  const auto copies = [](int lines, const tiled::OperandAccess& access) {
    return double(lines) * simt::kBlockKBytes / access.copy_bytes / 32;
  };
  return kCopySlots * (copies(tile.block_m, accesses.a) + copies(tile.block_n, accesses.b));
}

// A block's time while `residents` of its kind share its multiprocessor.
double block_us(const simt::TileInfo& tile, int index, const TileSize& size, const Gemm& gemm,
                const tiled::OperandAccesses& accesses, double k_steps, double residents,
                DType dtype, const Architecture& architecture) {
  const double efficiency = kEfficiency[index] * (bytes_of(dtype) == 2 ? k16BitEfficiency : 1);
  const double warps = residents * tile.threads / 32;
  const double occupied = std::min(warps / kWarpsThatFillAnSm, 1.0);
  const double rate = fma_flops_of_an_sm(dtype, architecture) * efficiency * occupied;
  const double own_step_us = kUs * 2 * size.m * size.n * size.k / rate +
                             slots_us(slots_of_copies(tile, accesses), architecture);
  const double waiting_us = register_copies_us(accesses, size, tile.threads, kInFlight);
  const double step_us =
      std::max({residents * own_step_us, own_step_us + waiting_us, kLatencyUs / (tile.stages - 1)});
  const double output_slots = kOutputSlots + activation_slots(gemm.activation, dtype);
  const double outputs_us =
      residents * slots_us(size.m * size.n / 32.0 * output_slots, architecture);
  return kPrologueUs + kEpilogueUs + k_steps * step_us + outputs_us;
}

}  // namespace

double simt_us(const Products& products, const Choice& choice, DType dtype,
               const Architecture& architecture) {
  const simt::TileInfo tile = simt::tile_info(choice.tile, dtype);
  const TileSize size{tile.block_m, tile.block_n, int(simt::kBlockKBytes / bytes_of(dtype))};
  const TileSizes tiles{{size, size}};
  const BlocksOfProducts blocks = blocks_of(products, tiles, choice);
  const double residents = residents_of(blocks.count(), tile.blocks_per_sm, architecture);
  double us[kMaxProducts];
  for (int p = 0; p < kMaxProducts; ++p) {
    us[p] = block_us(tile, choice.tile, size, products.gemm[p], products.accesses[p],
                     blocks.of[p].k_steps, residents, dtype, architecture);
  }
  return std::max(waves_us(blocks, us, residents, architecture),
                  l2_us(products, tiles, blocks, choice, dtype, architecture));
}

}  // namespace per_step_dense::cost
