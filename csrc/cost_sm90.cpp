#include <algorithm>
#include <cmath>

#include "cost_model.h"
#include "cost_parts.h"
#include "kernels/sm90/shared_storage.h"
#include "kernels/sm90/tiles.h"
#include "kernels/sm90/work.h"

namespace per_step_dense::cost {
namespace {

// Instructions that a thread issues for an output, without those of the activation: counted in the
// machine code of an epilogue, whose panels are copied where there may be an activation. A consumer
// has a warp on each scheduler.
constexpr double kOutputSlots = 2, kActivatedOutputSlots = 4;

// Between a consumer's last product and its next tile's first, beside those instructions: barriers,
// and the wait for the outputs before. A guess.
constexpr double kExposedUs = 0.3;

// Instructions of a warp that reads its share of a stage's weight into registers, rounds it, and
// sends for its products: counted in the machine code. Each scheduler has a warp of each consumer.
constexpr double kReadSlots = 120;

// TMA's pace: microseconds a row of 128 bytes from L2, and what a row from global memory takes
// more. Measured: with 8 tiles, from streams of weights to products that arithmetic bounds.
constexpr double kRowUs = 1.9e-3, kRowOfMemoryUs = 2.6e-3;

// Clusters were measured with a fence in their loop that is gone; until they are measured again,
// they are taken to be slower than they look.
constexpr double kUnmeasuredClusters = 1.6;

struct TileTime {
  double products_us;  // the tensor cores', or shared memory's, or until operands are there
  double epilogue_us;  // of a consumer alone on its multiprocessor
};

// wgmma reads its 64 rows of A and all columns of B from shared memory for every 32 bytes of terms,
// and TMA writes each stage once. Where operands are swapped, threads read A instead, and round it.
double stage_us(const sm90::TileInfo& tile, double rows_of_a, double row_us, DType dtype,
                const Architecture& architecture) {
  const double flops = 2.0 * tile.block_m * tile.block_n * tile.block_k;
  const double multiply_us = kUs * flops * architecture.sms / flops_ceiling(dtype, architecture);
  const int rows = tile.swaps_operands ? tile.block_n : tile.block_m;
  const int columns = tile.swaps_operands ? tile.block_m : tile.block_n;
  const double row_blocks = double(rows) / sm90::kWgmmaRows;
  const double stage_bytes = double(tile.block_m + tile.block_n) * sm90::kRowBytes;
  const double read_bytes = row_blocks * (sm90::kWgmmaRows + columns) * sm90::kRowBytes;
  const double smem_us = kUs * (stage_bytes + read_bytes) / l1_bandwidth_of_an_sm(architecture);
  const double slots = tile.swaps_operands ? tile.consumers * kReadSlots : 0;
  const double slots_us = kUs * slots / architecture.clock_hz;  // of one scheduler
  const double rows_us = (rows_of_a + double(tile.block_n) / tile.cluster) * row_us;
  const double us =
      std::max({multiply_us, smem_us, slots_us, rows_us, kLatencyUs / (tile.stages - 1)});
  return tile.cluster > 1 ? us * kUnmeasuredClusters : us;
}

// A row of 128 bytes of a product's operands, of which global memory has each once.
double row_us(const sm90::TileInfo& tile, const sm90::TileOrder& order, const Gemm& gemm,
              double rows_of_a) {
  const double once = double(gemm.t) * double(gemm.k) * double(gemm.m + gemm.n);
  const double fetched = double(order.items) * tile.cluster * order.k_blocks_a_split *
                         tile.block_k * (rows_of_a + tile.block_n);
  return kRowUs + kRowOfMemoryUs * std::min(once / fetched, 1.0);
}

TileTime time_of(const sm90::TileInfo& tile, const sm90::TileOrder& order, const Gemm& gemm,
                 bool is_backward, DType dtype, const Architecture& architecture) {
  const int64_t columns = ceil_div(gemm.n, tile.block_k) * tile.block_k;  // whole panels
  const double outputs = double(tile.block_m) * double(std::min<int64_t>(tile.block_n, columns)) /
                         sm90::kWarpgroupThreads;
  const double passes = gemm.z.data ? 2 : 1;
  const double own_slots = is_backward ? kOutputSlots : kActivatedOutputSlots;
  const double slots = outputs * (passes * own_slots + activation_slots(gemm.activation, dtype));
  const double rows_of_a = std::min<double>(tile.block_m, double(gemm.m));  // all that is fetched
  const double stage =
      stage_us(tile, rows_of_a, row_us(tile, order, gemm, rows_of_a), dtype, architecture);
  return {order.k_blocks_a_split * stage, kExposedUs + kUs * slots / architecture.clock_hz};
}

// Of a product's items each cluster takes one at a time.
struct Items {
  double count;
  TileTime time;

  double tile_us() const { return time.products_us + time.epilogue_us; }
  // Of two consumers that take turns, one stores while the other multiplies.
  double paced_us(const sm90::TileInfo& tile) const {
    return tile.is_pingpong ? std::max(time.products_us, tile_us() / 2) : tile_us();
  }
};

// A block's tiles one after another; the producer is at the next one's operands meanwhile.
double block_us(const sm90::TileInfo& tile, const Items& items, double clusters) {
  const double tiles = std::ceil(items.count / clusters);
  return (tiles - 1) * items.paced_us(tile) + items.tile_us();
}

// Of a list of both products' items: what they come to, shared evenly, and half of a short one for
// those that end last.
double block_us(const sm90::TileInfo& tile, const Items& one, const Items& other, double clusters) {
  const double longest = std::max(one.tile_us(), other.tile_us());
  if (one.count + other.count <= clusters) return longest;
  const double total = one.count * one.paced_us(tile) + other.count * other.paced_us(tile);
  return std::max(longest, total / clusters + std::min(one.tile_us(), other.tile_us()) / 2);
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

double sm90_us(const Products& products, bool is_backward, const Choice& choice,
               const LaunchPlan& plan, DType dtype, const Architecture& architecture) {
  if (plan.launches == 0) return 0;
  const sm90::TileInfo tile = is_backward ? sm90::backward_tile_info(choice.tile, dtype)
                                          : sm90::tile_info(choice.tile, dtype);
  const double clusters = plan.shape.blocks / plan.shape.cluster;
  Items items[kMaxProducts];
  int wanted = 0;
  double of_l2_us = 0;
  for (int p = 0; p < kMaxProducts; ++p) {
    const Gemm& gemm = products.gemm[p];
    if (!is_wanted(gemm)) continue;
    const sm90::TileOrder order = sm90::order_of(gemm, tile, choice.splits[p]);
    items[wanted++] = {double(order.items),
                       time_of(tile, order, gemm, is_backward, dtype, architecture)};
    of_l2_us += l2_us(tile, order, gemm, architecture);
  }
  const double of_blocks_us = wanted == 1 ? block_us(tile, items[0], clusters)
                                          : block_us(tile, items[0], items[1], clusters);
  return kPrologueUs + std::max(of_blocks_us, of_l2_us);
}

}  // namespace per_step_dense::cost
