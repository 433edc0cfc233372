// A CUDA thread's stack and the two switches: scheduler to fiber, fiber to scheduler.
#pragma once

#include "runtime/machine_context.h"
#include "runtime/race_detector.h"

namespace emulator {

class Fiber {
 public:
  // Takes stack number `slot` of the pool. Fibers of successive blocks share it.
  void prepare(size_t slot, void (*entry)());

  // Called by the scheduler; returns when the fiber suspends.
  void resume();

  // Called on the fiber. `for_ever` says that it will not be resumed.
  void suspend(bool for_ever);

  // The first statement of `entry`.
  static void entered();

  race_detector::Actor actor() const { return actor_; }

 private:
  MachineContext context_;
  unsigned char* stack_ = nullptr;
  race_detector::Actor actor_ = nullptr;
  void* address_sanitizer_stack_ = nullptr;
};

// To be called by the thread that will resume fibers, before it does.
void adopt_scheduler_thread();
race_detector::Actor scheduler_actor();

}  // namespace emulator
