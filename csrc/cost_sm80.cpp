#include <algorithm>

#include "cost_model.h"
#include "cost_parts.h"
#include "cost_tiles.h"
#include "kernels/sm80/tiles.h"

namespace per_step_dense::cost {
namespace {

// Of the rate that mma.sync reaches, what the loop around it makes: by the outputs of a warp, for
// smaller ones set fewer mma.sync against each ldmatrix. One warp a scheduler does not hide the
// latency of ldmatrix and of barriers; roundings to tfloat32 take issue slots. Guesses, to be
// fitted on a GPU.
constexpr double kLargeEfficiency = 0.68, kMiddleEfficiency = 0.62, kSmallEfficiency = 0.5;
constexpr double kAloneEfficiency = 0.7, kTf32Efficiency = 0.8;

double efficiency_of(const sm80::ShapeInfo& shape, double residents, DType dtype) {
  const int outputs = shape.warp_m * shape.warp_n;
  const double efficiency = outputs >= 4096   ? kLargeEfficiency
                            : outputs >= 2048 ? kMiddleEfficiency
                                              : kSmallEfficiency;
  return efficiency * (residents > 1 ? 1 : kAloneEfficiency) *
         (dtype == DType::kTFloat32 ? kTf32Efficiency : 1);
}

// Instructions that a warp issues for a copy, addresses and predicates included: by cp.async; of a
// vector of an odd row, with the loads and shifts of its pairs; of an element, with its load and
// its store. Warps copy before they multiply, and others hide half of that. Guesses.
constexpr double kCopySlots = 10, kOddRowSlots = 120, kElementSlots = 16, kExposedCopies = 0.5;

// For an output on its way through shared memory, its bias and its store: by vectors, or element by
// element where rows do not begin at multiples of 16 bytes. Fitted to what was measured, which was
// slower code (docs/h200.md); to be fitted anew.
constexpr double kOutputSlots = 60, kScatteredOutputSlots = 160;

double output_slots(const Gemm& gemm, DType dtype) {
  const bool is_whole = gemm.n * bytes_of(dtype) % 16 == 0;
  return (is_whole ? kOutputSlots : kScatteredOutputSlots) +
         activation_slots(gemm.activation, dtype);
}

InFlight in_flight(const sm80::ShapeInfo& shape) {
  constexpr int kElemsOfAChunk = 8;
  const int outputs = shape.warp_m * shape.warp_n;
  return {sm80::chunks_in_flight(outputs) * kElemsOfAChunk, sm80::elements_in_flight(outputs)};
}

// Registers are rationed for so many blocks; not every GPU has the shared memory for them.
int most_residents(const sm80::TileInfo& tile, const LaunchPlan& plan,
                   const Architecture& architecture) {
  constexpr int64_t kReservedBytes = 1024;  // of each block, by the system
  const int64_t fit =
      architecture.smem_bytes_per_sm / (int64_t(plan.shape.smem_bytes) + kReservedBytes);
  return int(std::clamp<int64_t>(fit, 1, tile.blocks_per_sm));
}

// What a block's k-step asks of its multiprocessor, in seconds as if it were alone there.
double seconds_of_mma(const sm80::ShapeInfo& shape, double residents, DType dtype,
                      const Architecture& architecture) {
  const double rate = flops_ceiling(dtype, architecture) * architecture.mma_sync_share *
                      efficiency_of(shape, residents, dtype) / architecture.sms;
  const double block_k = sm80::kBlockKBytes / double(bytes_of(dtype));
  return 2 * shape.block_m * shape.block_n * block_k / rate;
}

// A warp reads the fragments of its rows and columns; the copies write both tiles.
double seconds_of_smem(const sm80::ShapeInfo& shape, int warps, const Architecture& architecture) {
  const int lines_read = warps * (shape.warp_m + shape.warp_n);
  const int lines_written = shape.block_m + shape.block_n;
  return (lines_read + lines_written) * sm80::kBlockKBytes / l1_bandwidth_of_an_sm(architecture);
}

double slots_of_copies(int lines, const tiled::OperandAccess& access) {
  const double copies = double(lines) * sm80::kBlockKBytes / access.copy_bytes / 32;
  if (!access.is_aligned) return copies * kOddRowSlots;
  return copies * (access.copy_bytes == 2 ? kElementSlots : kCopySlots);
}

// Narrow copies are many.
double seconds_of_copies(const sm80::ShapeInfo& shape, const tiled::OperandAccesses& accesses,
                         const Architecture& architecture) {
  const double slots =
      slots_of_copies(shape.block_m, accesses.a) + slots_of_copies(shape.block_n, accesses.b);
  return slots / (kIssuedAClock * architecture.clock_hz);
}

TileSize size_of(const sm80::ShapeInfo& shape, DType dtype) {
  return {shape.block_m, shape.block_n, int(sm80::kBlockKBytes / bytes_of(dtype))};
}

// A block's time while `residents` of its kind share its multiprocessor.
struct BlockTime {
  double first_us;   // where all begin together, and none computes while others wait
  double steady_us;  // afterwards
};

BlockTime block_time(const sm80::ShapeInfo& shape, int threads, const Gemm& gemm,
                     const tiled::OperandAccesses& accesses, double k_steps, double residents,
                     DType dtype, const Architecture& architecture) {
  const double multiply_seconds = std::max(seconds_of_mma(shape, residents, dtype, architecture),
                                           seconds_of_smem(shape, threads / 32, architecture));
  const double step_us =
      kUs * (multiply_seconds + kExposedCopies * seconds_of_copies(shape, accesses, architecture));
  const double waiting_us =
      register_copies_us(accesses, size_of(shape, dtype), threads, in_flight(shape));
  const double paced_step_us = std::max(step_us + waiting_us, kLatencyUs / (shape.stages - 1));
  // The sums go through shared memory on their way out, and through the activation.
  const double outputs = double(shape.block_m) * shape.block_n;
  const double slots = outputs / 32 * output_slots(gemm, dtype);
  const double sums_us = kUs * 2 * outputs * sizeof(float) / l1_bandwidth_of_an_sm(architecture) +
                         slots_us(slots, architecture);

  const double idle_us = kPrologueUs + kEpilogueUs;
  const double busy_us = residents * (k_steps * step_us + sums_us);
  const double paced_us = k_steps * paced_step_us + sums_us;
  return {idle_us + std::max(busy_us, paced_us), std::max(busy_us, idle_us + paced_us)};
}

}  // namespace

double sm80_us(const Products& products, const Choice& choice, const LaunchPlan& plan, DType dtype,
               const Architecture& architecture) {
  const sm80::TileInfo tile = sm80::tile_info(choice.tile);
  const sm80::ShapeInfo* shapes[kMaxProducts] = {&tile.rows, &tile.grad_weight};
  const TileSizes tiles{{size_of(tile.rows, dtype), size_of(tile.grad_weight, dtype)}};
  const BlocksOfProducts blocks = blocks_of(products, tiles, choice);
  const double residents =
      residents_of(blocks.count(), most_residents(tile, plan, architecture), architecture);
  double steady_us[kMaxProducts] = {}, start_us = 0;
  for (int p = 0; p < kMaxProducts; ++p) {
    if (blocks.of[p].count == 0) continue;
    const BlockTime time =
        block_time(*shapes[p], tile.threads, products.gemm[p], products.accesses[p],
                   blocks.of[p].k_steps, residents, dtype, architecture);
    steady_us[p] = time.steady_us;
    start_us = std::max(start_us, time.first_us - time.steady_us);
  }
  return std::max(start_us + waves_us(blocks, steady_us, residents, architecture),
                  l2_us(products, tiles, blocks, choice, dtype, architecture));
}

}  // namespace per_step_dense::cost
