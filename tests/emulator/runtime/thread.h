// A CUDA thread: where it is, its fiber, and what it alone has in flight.
#pragma once

#include "cuda_runtime_api.h"
#include "runtime/bulk_stores.h"
#include "runtime/copy_groups.h"
#include "runtime/fiber.h"
#include "runtime/wait_reason.h"

namespace emulator {

struct Warp;

struct Thread {
  enum class State { kReady, kBlocked, kExited };

  uint3 index{};
  unsigned linear = 0;  // in the block
  unsigned lane = 0;
  Warp* warp = nullptr;

  State state = State::kReady;
  WaitReason wait;
  Fiber fiber;

  CopyGroups copies;
  BulkStores stores;
  size_t wgmmas_issued = 0;
  size_t wgmma_groups = 0;
  bool wgmma_fenced = false;
  int max_registers = 0;  // as setmaxnreg left it; 0 when it was not executed
};

// The thread whose kernel code runs now; null while the scheduler runs.
Thread* current_thread();
// The same, for what only a kernel may call.
Thread& this_thread();

}  // namespace emulator
