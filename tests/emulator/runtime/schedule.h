// A schedule: one legal way in which a GPU might interleave a block's threads and engines.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

// Which warp runs next. A thread runs until it blocks. Strict orders are as unfair as hardware may
// be, which a fair one never is: a dropped barrier shows only when one warp runs far ahead.
enum class Order : int32_t {
  kAscending,   // strict priority by warp index, and by lane within the warp
  kDescending,  // the same, the highest index first
  kPriorities,  // random strict priorities of warps that change at a few random points
  kRandom,      // a random warp and a random lane of it at every switch
};

// When an asynchronous engine does the work that was issued to it.
enum class Timing : int32_t {
  kEager,   // at the issue
  kLazy,    // as late as a wait allows
  kRandom,  // any time between
};

struct Schedule {
  char name[48];
  Order order;
  Timing copies;  // TMA, bulk stores and cp.async
  Timing wgmma;
  uint64_t seed;
  // Whether shared memory starts at an address that is aligned to what the kernel declares and to
  // no more. Aligned generously, a missing declaration would stay invisible.
  bool tight_alignment;
};

size_t schedule_count();
const Schedule& schedule_at(size_t index);

}  // namespace emulator
