#include <algorithm>
#include <cmath>

#include "cost_parts.h"
#include "kernels/tiny/tiles.h"

namespace per_step_dense::cost {
namespace {

// Of the FMA rate where operands come from L1: with several columns a thread has 16 FMA for 8
// loaded elements, with one 4 for 5. Guesses, to be measured, as is the time to begin and to end a
// thread.
constexpr double kEfficiency = 0.5, kNarrowEfficiency = 0.25;
constexpr double k16BitEfficiency = 0.8;  // conversions take issue slots
constexpr double kSetUpUs = 0.4, kStoreUs = 0.4;
constexpr double kJoinUs = 0.2;  // of slices

// A thread waits for a chunk of its operands: what L2 takes, with more than one under way.
constexpr double kChunkUs = 0.15;

double units_of(const Gemm& gemm, const tiny::TileInfo& tile) {
  if (!is_wanted(gemm)) return 0;
  const int64_t groups_of_rows = std::max<int64_t>(ceil_div(gemm.m, tile.rows), 1);
  return double(gemm.t * groups_of_rows * ceil_div(gemm.n, tile.columns));
}

// What all threads of a launch do; the times as if each block were alone.
struct Threads {
  double units = 0;           // threads, but for slices
  double flops = 0;           // as executed, empty rows and columns included
  double loaded = 0;          // elements that come from L1
  double waited_chunks = 0;   // one after the other in a thread, summed over units
  double longest_chunks = 0;  // of one unit
};

Threads threads_of(const Products& products, const Choice& choice, const tiny::TileInfo& tile) {
  Threads all;
  for (int p = 0; p < kMaxProducts; ++p) {
    const Gemm& gemm = products.gemm[p];
    const double units = units_of(gemm, tile), k = double(gemm.k);
    if (units == 0) continue;
    const double chunks = std::ceil(k / choice.splits[p] / tile.chunk);
    all.units += units * choice.splits[p];
    all.flops += 2 * units * tile.rows * tile.columns * k;
    all.loaded += units * (tile.rows + tile.columns) * k;
    all.waited_chunks += units * choice.splits[p] * chunks;
    all.longest_chunks = std::max(all.longest_chunks, chunks);
  }
  return all;
}

}  // namespace

double tiny_us(const Products& products, const Choice& choice, const LaunchPlan& plan, DType dtype,
               const Architecture& architecture) {
  const tiny::TileInfo tile = tiny::tile_info(choice.tile, dtype);
  const Threads all = threads_of(products, choice, tile);
  if (all.units == 0) return 0;
  const double launched = double(plan.shape.blocks) * double(plan.shape.threads);
  // A thread has a chunk at least; blocks that are not full launch more threads than there are
  // slices of units.
  const double slices = tile.sliced ? std::min(launched / all.units, all.longest_chunks) : 1;
  const double slots = double(architecture.sms) * tile.blocks_per_sm * tile.threads;
  const double rounds = std::max(1.0, launched / slots);
  const double longest_us = all.longest_chunks / std::max(slices, 1.0) * kChunkUs;
  const double waiting_us = std::max(longest_us, all.waited_chunks / slots * kChunkUs) +
                            rounds * (kSetUpUs + kStoreUs + (tile.sliced ? kJoinUs : 0));
  const double efficiency = (tile.columns > 1 ? kEfficiency : kNarrowEfficiency) *
                            (bytes_of(dtype) == 2 ? k16BitEfficiency : 1);
  const double fma_us =
      kUs * all.flops / (fma_flops_of_an_sm(dtype, architecture) * architecture.sms * efficiency);
  const double l1_us = kUs * all.loaded * double(bytes_of(dtype)) /
                       (l1_bandwidth_of_an_sm(architecture) * architecture.sms);
  return std::max({waiting_us, fma_us, l1_us});
}

}  // namespace per_step_dense::cost
