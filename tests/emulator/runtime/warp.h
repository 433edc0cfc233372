// A warp: the instructions that its lanes execute together, and its stream of wgmmas.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/thread.h"
#include "runtime/wgmma_stream.h"

namespace emulator {

constexpr unsigned kWarpSize = 32;
constexpr uint32_t kFullMask = 0xffffffffu;

using LaneArguments = std::array<void*, kWarpSize>;

// An instruction that some lanes have reached and others have not.
struct OpenCollective {
  const char* instruction;
  int variant;
  uint32_t mask;
  uint32_t arrived = 0;
  LaneArguments arguments{};
  std::vector<Thread*> waiters;
};

struct Warp {
  unsigned index = 0;
  Thread* threads = nullptr;  // its 32
  std::vector<OpenCollective> collectives;
  WgmmaStream wgmma;
  char synchronised = 0;  // the race detector's token for __syncwarp
};

// Runs `perform` once every lane that `mask` names has come, with the arguments of all of them.
// Lanes meet only at the same instruction, variant and mask.
void warp_collective(const char* instruction, int variant, uint32_t mask, void* arguments,
                     void (*perform)(Warp&, const LaneArguments&));

}  // namespace emulator
