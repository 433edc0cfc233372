#include <algorithm>

#include "cost_model.h"
#include "cost_parts.h"
#include "kernels/sm90/shared_storage.h"
#include "kernels/sm90/tiles.h"
#include "kernels/sm90/work.h"

namespace per_step_dense::cost {
namespace {

// Instructions that a thread issues for an output, without those of the activation: counted in the
// machine code of an epilogue. A consumer has a warp on each scheduler.
constexpr double kOutputSlots = 6;

// Between a consumer's last product and its next tile's first, beside those instructions: barriers,
// and the wait for the outputs before. A guess.
constexpr double kExposedUs = 0.3;

// Instructions of a warp that reads its share of a stage's weight into registers, rounds it, and
// sends for its products: counted in the machine code. Each scheduler has a warp of each consumer.
constexpr double kReadSlots = 120;

struct TileTime {
  double products_us;  // the tensor cores', or shared memory's, or until operands are there
  double epilogue_us;  // of a consumer alone on its multiprocessor
};

// wgmma reads its 64 rows of A and all columns of B from shared memory for every 32 bytes of terms,
// and TMA writes each stage once. Where operands are swapped, threads read A instead, and round it.
double stage_us(const sm90::TileInfo& tile, DType dtype, const Architecture& architecture) {
  const double flops = 2.0 * tile.block_m * tile.block_n * tile.block_k;
  const double multiply_us = kUs * flops * architecture.sms / flops_ceiling(dtype, architecture);
  const int rows = tile.swaps_operands ? tile.block_n : tile.block_m;
  const int columns = tile.swaps_operands ? tile.block_m : tile.block_n;
  const double row_blocks = double(rows) / sm90::kWgmmaRows;
  const double stage_bytes = double(tile.block_m + tile.block_n) * sm90::kRowBytes;
  const double read_bytes = row_blocks * (sm90::kWgmmaRows + columns) * sm90::kRowBytes;
  const double smem_us = kUs * (stage_bytes + read_bytes) / l1_bandwidth_of_an_sm(architecture);
  const double slots = tile.swaps_operands ? tile.consumers * kReadSlots : 0;
  const double slots_us = kUs * slots / architecture.clock_hz;
  return std::max({multiply_us, smem_us, slots_us, kLatencyUs / (tile.stages - 1)});
}

TileTime time_of(const sm90::TileInfo& tile, const Gemm& gemm, double k_blocks, DType dtype,
                 const Architecture& architecture) {
  const int64_t columns = ceil_div(gemm.n, tile.block_k) * tile.block_k;  // whole panels
  const double outputs = double(tile.block_m) * double(std::min<int64_t>(tile.block_n, columns)) /
                         sm90::kWarpgroupThreads;
  const double passes = gemm.z.data ? 2 : 1;
  const double slots = outputs * (passes * kOutputSlots + activation_slots(gemm.activation));
  return {k_blocks * stage_us(tile, dtype, architecture),
          kExposedUs + kUs * slots / architecture.clock_hz};
}

// A block's tiles one after another; the producer is at the next one's operands meanwhile. Of two
// consumers that take turns, one stores while the other multiplies.
double block_us(const sm90::TileInfo& tile, const TileTime& time, double tiles) {
  const double tile_us = time.products_us + time.epilogue_us;
  if (!tile.is_pingpong) return tiles * tile_us;
  return (tiles - 1) * std::max(time.products_us, tile_us / 2) + tile_us;
}

// Of a cluster's blocks each reads its own rows, and its share of the weight for all.
double l2_us(const sm90::TileInfo& tile, const sm90::TileOrder& order, const Gemm& gemm,
             const Architecture& architecture) {
  const double rows = double(std::min<int64_t>(tile.block_m, gemm.m));
  const double columns = double(std::min<int64_t>(tile.block_n, gemm.n));
  const double terms = double(gemm.k) / order.splits;
  const double elems = terms * (rows * tile.cluster + columns) + rows * columns * tile.cluster;
  return kUs * double(order.items) * elems * double(tile.element_bytes) / architecture.l2_bandwidth;
}

}  // namespace

double sm90_us(const Products& products, const Choice& choice, const LaunchPlan& plan, DType dtype,
               const Architecture& architecture) {
  if (plan.launches == 0) return 0;
  const sm90::TileInfo tile = sm90::tile_info(choice.tile, dtype);
  const Gemm& gemm = products.gemm[kForward];
  const sm90::TileOrder order = sm90::order_of(gemm, tile, choice.splits[kForward]);
  const TileTime time = time_of(tile, gemm, order.k_blocks_a_split, dtype, architecture);
  const int64_t clusters = plan.shape.blocks / plan.shape.cluster;
  const double tiles_of_a_block = double(ceil_div(order.items, clusters));
  return kPrologueUs +
         std::max(block_us(tile, time, tiles_of_a_block), l2_us(tile, order, gemm, architecture));
}

}  // namespace per_step_dense::cost
