// ldmatrix and mma.sync, warp-wide instructions of sm_80.
#include <cstring>

#include "runtime/bfloat16.h"
#include "runtime/block.h"
#include "runtime/failure.h"

namespace emulator {
namespace {

struct LdmatrixLane {
  uint32_t* fragments;
  int matrices;
  bool transpose;
  uint32_t smem_row;
};

// Lanes 8m .. 8m + 7 give the row addresses of matrix m.
void load_matrix(Warp& warp, const LaneArguments& arguments, int matrix, uint16_t (&rows)[8][8]) {
  for (int row = 0; row < 8; ++row) {
    const int lane = matrix * 8 + row;
    const auto* addressing = static_cast<const LdmatrixLane*>(arguments[lane]);
    if (addressing->smem_row % 16 != 0) {
      fail("ldmatrix", "row address 0x%x is not 16-byte aligned", addressing->smem_row);
    }
    const unsigned char* smem =
        this_block().shared.generic(addressing->smem_row, sizeof rows[row], "ldmatrix");
    std::memcpy(rows[row], smem, sizeof rows[row]);
    const race_detector::ActingAs reader(warp.threads[lane].fiber.actor());
    race_detector::read(smem, sizeof rows[row]);
  }
}

void perform_ldmatrix(Warp& warp, const LaneArguments& arguments) {
  const auto* first = static_cast<const LdmatrixLane*>(arguments[0]);
  for (int matrix = 0; matrix < first->matrices; ++matrix) {
    uint16_t rows[8][8];
    load_matrix(warp, arguments, matrix, rows);
    for (int lane = 0; lane < 32; ++lane) {
      const int i = lane / 4;
      const int j = lane % 4 * 2;
      const uint16_t low = first->transpose ? rows[j][i] : rows[i][j];
      const uint16_t high = first->transpose ? rows[j + 1][i] : rows[i][j + 1];
      static_cast<LdmatrixLane*>(arguments[lane])->fragments[matrix] =
          uint32_t{low} | uint32_t{high} << 16;
    }
  }
}

struct MmaLane {
  float* accum;
  const uint32_t* a;
  const uint32_t* b;
};

float half_of(uint32_t pair, int half) {
  return bfloat16_to_float(static_cast<uint16_t>(half == 0 ? pair : pair >> 16));
}

// Fragments as the ISA lays them out for m16n8k16: `group` picks a row, `column` a pair of columns.
void perform_mma_m16n8k16(Warp&, const LaneArguments& arguments) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto* own = static_cast<const MmaLane*>(arguments[lane]);
    const int group = lane / 4;
    const int column = lane % 4 * 2;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) {
        a[group + 8 * (i & 1)][column + half + 8 * (i >> 1)] = half_of(own->a[i], half);
      }
      for (int i = 0; i < 2; ++i) b[column + half + 8 * i][group] = half_of(own->b[i], half);
    }
  }
  float product[16][8] = {};
  for (int m = 0; m < 16; ++m) {
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 8; ++n) product[m][n] += a[m][k] * b[k][n];
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto* own = static_cast<const MmaLane*>(arguments[lane]);
    for (int i = 0; i < 4; ++i) {
      own->accum[i] += product[lane / 4 + 8 * (i >> 1)][lane % 4 * 2 + (i & 1)];
    }
  }
  ++this_block().report.counters.mmas;
}

}  // namespace

void ldmatrix(uint32_t* fragments, int matrices, bool transpose, uint32_t smem_row) {
  LdmatrixLane own{fragments, matrices, transpose, smem_row};
  warp_collective("ldmatrix", matrices * 2 + (transpose ? 1 : 0), kFullMask, &own,
                  perform_ldmatrix);
}

void mma_m16n8k16_bf16(float* accum, const uint32_t* a, const uint32_t* b) {
  MmaLane own{accum, a, b};
  warp_collective("mma.sync.m16n8k16", 0, kFullMask, &own, perform_mma_m16n8k16);
}

}  // namespace emulator
