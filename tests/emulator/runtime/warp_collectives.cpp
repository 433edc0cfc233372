// Instructions for which the lanes of a warp meet: __syncwarp, shuffles, votes, elect.sync.
#include <bitset>

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {
namespace {

OpenCollective& find_or_open(Warp& warp, unsigned lane, const char* instruction, int variant,
                             uint32_t mask) {
  for (OpenCollective& open : warp.collectives) {
    const bool same =
        open.instruction == instruction && open.variant == variant && open.mask == mask;
    if (same) return open;
    // Other masks may overlap: a lane can synchronise with a few before it joins the rest.
    if (open.mask == mask) {
      fail("divergence", "warp %u: lane %u executes %s while others wait in %s", warp.index, lane,
           instruction, open.instruction);
    }
  }
  return warp.collectives.emplace_back(instruction, variant, mask);
}

void close(Warp& warp, const OpenCollective& collective) {
  warp.collectives.erase(warp.collectives.begin() + (&collective - warp.collectives.data()));
}

}  // namespace

void warp_collective(const char* instruction, int variant, uint32_t mask, void* arguments,
                     void (*perform)(Warp&, const OpenCollective&)) {
  Thread& thread = this_thread();
  Warp& warp = *thread.warp;
  const uint32_t own_bit = 1u << thread.lane;
  if ((mask & own_bit) == 0) {
    fail("divergence", "warp %u: lane %u executes %s with mask 0x%08x, which leaves it out",
         warp.index, thread.lane, instruction, mask);
  }
  OpenCollective& open = find_or_open(warp, thread.lane, instruction, variant, mask);
  open.arguments[thread.lane] = arguments;
  open.arrived |= own_bit;
  if (open.arrived != mask) {
    this_cluster().wait(WaitReason::Kind::kWarpCollective, instruction, warp.index, 0);
    return;
  }
  perform(warp, open);
  this_cluster().wake(warp, mask & ~own_bit);
  close(warp, open);
}

void sync_warp(uint32_t mask) {
  Warp& warp = *this_thread().warp;
  race_detector::release(&warp.synchronised);
  warp_collective("__syncwarp", 0, mask, nullptr, [](Warp&, const OpenCollective&) {});
  race_detector::acquire(&warp.synchronised);
}

namespace {

struct ShuffleLane {
  Shuffle mode;
  uint32_t mask;
  uint32_t value;
  int operand;
  int width;
  uint32_t result;
};

// The lane a shuffle reads, or its own where the source would leave the segment of `width` lanes.
int shuffle_source(const ShuffleLane& lane, int own) {
  const int segment = own / lane.width * lane.width;
  const int last = segment + lane.width - 1;
  switch (lane.mode) {
    case Shuffle::kIndex:
      return segment + (lane.operand & (lane.width - 1));
    case Shuffle::kUp:
      return own - lane.operand < segment ? own : own - lane.operand;
    case Shuffle::kDown:
      return own + lane.operand > last ? own : own + lane.operand;
    // Unlike the others, xor may read a lower segment.
    case Shuffle::kXor:
      return (own ^ lane.operand) > last ? own : own ^ lane.operand;
  }
  return own;
}

void perform_shuffle(Warp& warp, const OpenCollective& collective) {
  for (unsigned own = 0; own < kWarpSize; ++own) {
    if (!collective.includes(own)) continue;
    auto* lane = static_cast<ShuffleLane*>(collective.arguments[own]);
    const int source = shuffle_source(*lane, static_cast<int>(own));
    if ((lane->mask >> source & 1) == 0) {
      fail("divergence", "warp %u: lane %u shuffles from lane %d, which mask 0x%08x leaves out",
           warp.index, own, source, lane->mask);
    }
    lane->result = static_cast<const ShuffleLane*>(collective.arguments[source])->value;
  }
}

}  // namespace

uint32_t shuffle(Shuffle mode, uint32_t mask, uint32_t value, int operand, int width) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) {
    fail("divergence", "a shuffle of width %d", width);
  }
  ShuffleLane lane{mode, mask, value, operand, width, 0};
  warp_collective("__shfl_sync", static_cast<int>(mode), mask, &lane, perform_shuffle);
  return lane.result;
}

namespace {

struct BallotLane {
  bool predicate;
  uint32_t result;
};

void perform_ballot(Warp&, const OpenCollective& collective) {
  uint32_t votes = 0;
  for (unsigned own = 0; own < kWarpSize; ++own) {
    if (!collective.includes(own)) continue;
    if (static_cast<const BallotLane*>(collective.arguments[own])->predicate) votes |= 1u << own;
  }
  for (unsigned own = 0; own < kWarpSize; ++own) {
    if (!collective.includes(own)) continue;
    static_cast<BallotLane*>(collective.arguments[own])->result = votes;
  }
}

}  // namespace

uint32_t ballot(uint32_t mask, bool predicate) {
  BallotLane lane{predicate, 0};
  warp_collective("__ballot_sync", 0, mask, &lane, perform_ballot);
  return lane.result;
}

// Hardware elects any one lane. Which one depends here on the mask and the schedule's seed, so that
// a kernel cannot come to rely on lane 0.
bool elect_one(uint32_t mask) {
  warp_collective("elect.sync", 0, mask, nullptr, [](Warp&, const OpenCollective&) {});
  const auto members = std::bitset<kWarpSize>(mask).count();
  size_t skip = this_cluster().schedule.seed % members;
  unsigned elected = 0;
  while ((mask >> elected & 1) == 0 || skip-- != 0) ++elected;
  return this_thread().lane == elected;
}

}  // namespace emulator
