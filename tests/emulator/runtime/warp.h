// A warp: the instructions that its lanes execute together, and its stream of wgmmas.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/fragment_exchange.h"
#include "runtime/thread.h"
#include "runtime/wgmma_stream.h"

namespace emulator {

constexpr unsigned kWarpSize = 32;
constexpr uint32_t kFullMask = 0xffffffffu;

// An instruction that some lanes have reached and others have not.
struct OpenCollective {
  OpenCollective(const char* instruction, int variant, uint32_t mask)
      : instruction(instruction), variant(variant), mask(mask) {}

  const char* instruction;
  int variant;
  uint32_t mask;
  uint32_t arrived = 0;
  void* arguments[kWarpSize];  // of the lanes that have arrived

  bool includes(unsigned lane) const { return (mask >> lane & 1) != 0; }
};

struct Warp {
  unsigned index = 0;         // in the block
  unsigned number = 0;        // in the cluster
  Thread* threads = nullptr;  // its 32
  std::vector<OpenCollective> collectives;
  FragmentExchange fragments;
  WgmmaStream wgmma;
  char synchronised = 0;  // the race detector's token for __syncwarp
};

// Runs `perform` once every lane that `mask` names has come, with the arguments of all of them.
// Lanes meet only at the same instruction, variant and mask.
void warp_collective(const char* instruction, int variant, uint32_t mask, void* arguments,
                     void (*perform)(Warp&, const OpenCollective&));

}  // namespace emulator
