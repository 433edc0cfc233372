// What a blocked thread waits for: kept as numbers, put into words only in a deadlock's report.
#pragma once

#include <cstdint>

namespace emulator {

struct WaitReason {
  enum class Kind { kNone, kBarrier, kWarpCollective, kMbarrier, kClusterBarrier };

  Kind kind = Kind::kNone;
  const char* what = "";  // the place of a __syncthreads(), the name of a warp-wide instruction
  uint32_t object = 0;    // the barrier's number, or the mbarrier's shared address
  uint32_t parity = 0;    // of an mbarrier wait
};

}  // namespace emulator
