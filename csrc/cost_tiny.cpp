#include <algorithm>
#include <cmath>

#include "cost_parts.h"
#include "kernels/tiny/tiles.h"

namespace per_step_dense::cost {
namespace {

// Fitted to what was measured. A thread waits for each chunk of its operands, with more than one
// under way, and longer where it has several columns to load for.
constexpr double kSetUpUs = 0.4, kStoreUs = 0.4;
constexpr double kJoinUs = 0.2;  // of slices
constexpr double kChunkUs = 0.5, kNarrowChunkUs = 0.12;

// Clocks of L1 for what a warp loads at a time, by 128 bytes.
constexpr double kWavefrontClocks = 1.5;

// Instructions for an output, its bias and its store. A guess.
constexpr double kOutputSlots = 20;

double units_of(const Gemm& gemm, const tiny::TileInfo& tile) {
  if (!is_wanted(gemm)) return 0;
  const int64_t groups_of_rows = std::max<int64_t>(ceil_div(gemm.m, tile.rows), 1);
  return double(gemm.t * groups_of_rows * ceil_div(gemm.n, tile.columns));
}

bool is_vector_along(int64_t stride, int64_t extent) {
  constexpr int64_t kElems = 4;
  return stride == 1 && extent % kElems == 0;
}

// By a warp for a chunk: rows of a are alike for most lanes; columns of b are neighbours, by
// vectors or element by element, where only every so many bytes of what is loaded are used.
double wavefronts_of_chunk(const Gemm& gemm, const tiny::TileInfo& tile, int64_t element_bytes) {
  const bool has_vectors_of_a =
      is_vector_along(gemm.a.stride_k, gemm.k) || is_vector_along(gemm.a.stride_row, gemm.m);
  const double loads_of_a = has_vectors_of_a ? tile.rows : tile.rows * tile.chunk;
  const bool has_vectors_of_b = tile.columns == 1 || is_vector_along(gemm.b.stride_row, gemm.n);
  const double bytes_of_columns = 32.0 * tile.columns * double(element_bytes);
  const double lines = std::max(bytes_of_columns / 128, 1.0);
  const double loads_of_b = tile.chunk * lines * (has_vectors_of_b ? 1 : tile.columns);
  return loads_of_a + loads_of_b;
}

// What all threads of a launch do; the times as if each block were alone.
struct Threads {
  double units = 0;           // threads, but for slices
  double flops = 0;           // as executed, empty rows and columns included
  double wavefronts = 0;      // of warps
  double output_slots = 0;    // of warps
  double waited_chunks = 0;   // one after the other in a thread, summed over units
  double longest_chunks = 0;  // of one unit
};

Threads threads_of(const Products& products, const Choice& choice, const tiny::TileInfo& tile,
                   DType dtype) {
  Threads all;
  for (int p = 0; p < kMaxProducts; ++p) {
    const Gemm& gemm = products.gemm[p];
    const double units = units_of(gemm, tile), k = double(gemm.k);
    if (units == 0) continue;
    const double chunks = std::ceil(k / choice.splits[p] / tile.chunk);
    const double outputs = units * tile.rows * tile.columns;
    all.units += units * choice.splits[p];
    all.flops += 2 * outputs * k;
    all.wavefronts +=
        units / 32 * k / tile.chunk * wavefronts_of_chunk(gemm, tile, bytes_of(dtype));
    all.output_slots += outputs / 32 * (kOutputSlots + activation_slots(gemm.activation, dtype));
    all.waited_chunks += units * choice.splits[p] * chunks;
    all.longest_chunks = std::max(all.longest_chunks, chunks);
  }
  return all;
}

}  // namespace

double tiny_us(const Products& products, const Choice& choice, const LaunchPlan& plan, DType dtype,
               const Architecture& architecture) {
  const tiny::TileInfo tile = tiny::tile_info(choice.tile, dtype);
  const Threads all = threads_of(products, choice, tile, dtype);
  if (all.units == 0) return 0;
  const double launched = double(plan.shape.blocks) * double(plan.shape.threads);
  // A thread has a chunk at least; blocks that are not full launch more threads than there are
  // slices of units.
  const double slices = tile.sliced ? std::min(launched / all.units, all.longest_chunks) : 1;
  const double slots = double(architecture.sms) * tile.blocks_per_sm * tile.threads;
  const double rounds = std::max(1.0, launched / slots);
  const double chunk_us = tile.columns > 1 ? kChunkUs : kNarrowChunkUs;
  const double waiting_us =
      std::max(all.longest_chunks / std::max(slices, 1.0), all.waited_chunks / slots) * chunk_us;
  const double blocks_us = rounds * (kSetUpUs + kStoreUs + (tile.sliced ? kJoinUs : 0));
  const double fma_us =
      kUs * all.flops / (fma_flops_of_an_sm(dtype, architecture) * architecture.sms);
  const double l1_us =
      kUs * all.wavefronts * kWavefrontClocks / (architecture.clock_hz * architecture.sms);
  const double outputs_us = slots_us(all.output_slots, architecture) / architecture.sms;
  return blocks_us + waiting_us + std::max(fma_us, l1_us) + outputs_us;
}

}  // namespace per_step_dense::cost
