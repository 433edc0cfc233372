// What a run tells its caller. Plain arrays: the runtime builds no strings (see race_detector.h).
#pragma once

#include <cstdint>

namespace emulator {

struct Counters {
  int64_t launches;
  int64_t blocks;
  int64_t switches;  // times a thread was resumed
  int64_t tma_boxes;
  int64_t wgmmas;  // per warp
  int64_t mmas;
  int64_t bank_conflicts;  // matrices whose rows ldmatrix cannot read at once
};

inline constexpr int kNamedKernels = 2;

struct Report {
  int32_t ok;
  char kind[24];       // "deadlock", "smem-oob", "gmem-write", ...: see README.md
  char message[1200];  // empty when ok
  Counters counters;
  char kernel[kNamedKernels][400];  // mangled names of the first ones launched
};

}  // namespace emulator
