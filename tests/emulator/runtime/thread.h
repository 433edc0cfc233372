// A CUDA thread: where it is, its fiber, and what it alone has in flight.
#pragma once

#include "cuda_runtime_api.h"
#include "runtime/bulk_stores.h"
#include "runtime/copy_groups.h"
#include "runtime/fiber.h"
#include "runtime/wait_reason.h"

namespace emulator {

class Block;
struct Warp;

struct Thread {
  uint3 index{};
  unsigned linear = 0;  // in the block
  unsigned lane = 0;
  Warp* warp = nullptr;
  Block* block = nullptr;

  bool has_exited = false;
  WaitReason wait;  // the last one
  Fiber fiber;

  CopyGroups copies;
  BulkStores stores;
  size_t wgmmas_issued = 0;
  size_t wgmma_groups = 0;
  bool wgmma_fenced = false;
  bool has_arrived_at_cluster = false;  // and has not waited yet
  uint64_t cluster_phase = 0;           // of barrier.cluster, at the last arrival
  int max_registers = 0;                // as setmaxnreg left it; 0 when it was not executed
};

// The thread whose kernel code runs now; null while the scheduler runs. Hidden, or every access
// would go through the library's table of symbols.
[[gnu::visibility("hidden")]] extern Thread* running_thread;

[[noreturn]] void abort_outside_kernel();

// The same, for what only a kernel may call.
inline Thread& this_thread() {
  if (running_thread == nullptr) abort_outside_kernel();
  return *running_thread;
}

}  // namespace emulator
