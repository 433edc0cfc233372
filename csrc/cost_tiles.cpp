#include "cost_tiles.h"

#include <algorithm>
#include <cmath>

namespace per_step_dense::cost {
namespace {

// In part from L2, where other blocks have read the same. Fitted to what was measured.
constexpr double kRegisterLatencyUs = 0.8;

int64_t register_copies(const tiled::OperandAccess& access, int elements, int threads,
                        const InFlight& in_flight) {
  if (!access.is_aligned) return ceil_div(elements, threads * in_flight.of_odd_rows);
  if (access.copy_bytes == 2) return ceil_div(elements, threads * in_flight.one_by_one);
  return 0;
}

Blocks blocks_of(const Gemm& gemm, const TileSize& tile, int splits) {
  if (!is_wanted(gemm)) return {};
  const int64_t tiles_m = std::max<int64_t>(ceil_div(gemm.m, tile.m), 1);
  const int64_t tiles = gemm.t * tiles_m * ceil_div(gemm.n, tile.n);
  return {double(tiles) * splits, double(ceil_div(ceil_div(gemm.k, tile.k), splits))};
}

}  // namespace

BlocksOfProducts blocks_of(const Products& products, const TileSizes& tiles, const Choice& choice) {
  BlocksOfProducts blocks;
  for (int p = 0; p < kMaxProducts; ++p) {
    blocks.of[p] = blocks_of(products.gemm[p], tiles.of[p], choice.splits[p]);
  }
  return blocks;
}

double residents_of(double blocks, int most, const Architecture& architecture) {
  return std::clamp(std::ceil(blocks / architecture.sms), 1.0, double(most));
}

double waves_us(const BlocksOfProducts& blocks, const double (&block_us)[kMaxProducts],
                double residents, const Architecture& architecture) {
  const double slots = architecture.sms * residents;
  double total = 0, longest = 0, shortest = 0;
  for (int p = 0; p < kMaxProducts; ++p) {
    if (blocks.of[p].count == 0) continue;
    total += blocks.of[p].count * block_us[p];
    longest = std::max(longest, block_us[p]);
    shortest = shortest == 0 ? block_us[p] : std::min(shortest, block_us[p]);
  }
  if (blocks.count() <= slots) return longest;
  const bool leaves_a_tail = std::fmod(blocks.count(), slots) != 0;
  return std::max(longest, total / slots + (leaves_a_tail ? shortest / 2 : 0));
}

double l2_us(const Products& products, const TileSizes& tiles, const BlocksOfProducts& blocks,
             const Choice& choice, DType dtype, const Architecture& architecture) {
  double elems = 0;
  for (int p = 0; p < kMaxProducts; ++p) {
    const Gemm& gemm = products.gemm[p];
    const int64_t lines =
        std::min<int64_t>(tiles.of[p].m, gemm.m) + std::min<int64_t>(tiles.of[p].n, gemm.n);
    elems += blocks.of[p].count * double(lines) * double(gemm.k) / choice.splits[p];
  }
  return kUs * elems * double(bytes_of(dtype)) / architecture.l2_bandwidth;
}

double register_copies_us(const tiled::OperandAccesses& accesses, const TileSize& tile, int threads,
                          const InFlight& in_flight) {
  const int64_t copies = register_copies(accesses.a, tile.m * tile.k, threads, in_flight) +
                         register_copies(accesses.b, tile.n * tile.k, threads, in_flight);
  return double(copies) * kRegisterLatencyUs;
}

}  // namespace per_step_dense::cost
