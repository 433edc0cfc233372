// ldmatrix: a warp loads four matrices of 8 x 8 elements of 16 bits.
#include <cstring>

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {
namespace {

constexpr size_t kRowBytes = 16;

// By row and column.
using Matrix = uint16_t[8][8];

void load_row(const Warp& warp, unsigned lane, uint16_t (&row)[8]) {
  const uint32_t address = warp.fragments.ldmatrix[lane].smem_row;
  if (address % kRowBytes != 0) {
    fail("ldmatrix", "row address 0x%x is not 16-byte aligned", address);
  }
  const unsigned char* smem = this_block().shared.generic(address, kRowBytes, "ldmatrix");
  std::memcpy(row, smem, kRowBytes);
  if (race_detector::enabled()) {
    const race_detector::ActingAs reader(warp.threads[lane].fiber.actor());
    race_detector::read(smem, kRowBytes);
  }
}

// The rows of a matrix are read at once where each lies in other banks: 8 times 16 bytes are all.
void count_bank_conflicts(const Warp& warp) {
  for (unsigned first = 0; first < kWarpSize; first += 8) {
    unsigned banks = 0;
    for (unsigned lane = first; lane < first + 8; ++lane) {
      banks |= 1u << warp.fragments.ldmatrix[lane].smem_row / kRowBytes % 8;
    }
    if (banks != 0xff) ++this_cluster().report.counters.bank_conflicts;
  }
}

template <bool kTransposed>
void perform(Warp& warp, const OpenCollective&) {
  static Matrix matrices[4];  // see mma_sync.cpp
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    load_row(warp, lane, matrices[lane / 8][lane % 8]);
  }
  count_bank_conflicts(warp);
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    const unsigned i = lane / 4, j = lane % 4 * 2;
    uint32_t* const registers = warp.fragments.ldmatrix[lane].matrices;
    for (int number = 0; number < 4; ++number) {
      const Matrix& matrix = matrices[number];
      const uint16_t low = kTransposed ? matrix[j][i] : matrix[i][j];
      const uint16_t high = kTransposed ? matrix[j + 1][i] : matrix[i][j + 1];
      registers[number] = uint32_t{low} | uint32_t{high} << 16;
    }
  }
}

}  // namespace

void ldmatrix_x4(uint32_t* matrices, bool transposed, uint32_t smem_row) {
  const Thread& thread = this_thread();
  thread.warp->fragments.ldmatrix[thread.lane] = {smem_row, matrices};
  warp_collective("ldmatrix", transposed, kFullMask, nullptr,
                  transposed ? perform<true> : perform<false>);
}

}  // namespace emulator
