// What the lanes of a warp hand to ldmatrix and mma.sync: where their registers are.
//
// The last lane to come reads and writes the registers of all. Were it each lane's own task, the
// accesses would not overlap: a lane is resumed with a cold pipeline.
#pragma once

#include <cstdint>

namespace emulator {

struct LdmatrixLane {
  uint32_t smem_row;  // lanes 8m .. 8m + 7 give the rows of matrix m
  uint32_t* matrices;
};

struct MmaLane {
  float* accum;
  const uint32_t* a;
  const uint32_t* b;
};

struct FragmentExchange {
  LdmatrixLane ldmatrix[32];
  MmaLane mma[32];
};

}  // namespace emulator
