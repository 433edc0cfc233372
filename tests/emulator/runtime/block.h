// One thread block while it runs: its threads, its memory and its barriers.
#pragma once

#include <vector>

#include "runtime/generic_reads.h"
#include "runtime/mbarrier.h"
#include "runtime/named_barrier.h"
#include "runtime/shared_memory.h"
#include "runtime/thread.h"
#include "runtime/warp.h"

namespace emulator {

struct LaunchRequest;
struct Schedule;

class Block {
 public:
  // `rank` is its place in the cluster.
  Block(const Schedule& schedule, const LaunchRequest& request, unsigned rank, uint3 index);
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  bool has_exited() const { return live_threads == 0; }

  const unsigned rank;
  const uint3 index;

  std::vector<Thread> threads;
  std::vector<Warp> warps;
  size_t live_threads;

  SharedMemory shared;
  GenericReads generic_reads;
  NamedBarriers barriers;
  Mbarriers mbarriers;
};

// What a block must have done when the last of its threads has exited.
void check_at_end(const Block& block);

// Fails when something wrote beside the block's shared memory.
void check_guards(const Block& block);

// The block of the running thread, or the one that an engine works for.
[[gnu::visibility("hidden")]] extern Block* running_block;

// The same, for what only a kernel may call.
inline Block& this_block() {
  if (running_block == nullptr) abort_outside_kernel();
  return *running_block;
}

}  // namespace emulator
