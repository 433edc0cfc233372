// A CUDA thread's stack and the switches: scheduler to fiber, fiber to scheduler or to another.
#pragma once

#include "runtime/address_sanitizer.h"
#include "runtime/machine_context.h"
#include "runtime/race_detector.h"

namespace emulator {

class Fiber {
 public:
  // Takes stack number `slot` of the pool. Fibers of successive blocks share it.
  void prepare(size_t slot, void (*entry)());

  // Called by the scheduler; returns when a fiber suspends.
  void resume();

  // Called on the fiber. `for_ever` says that it will not run again.
  void suspend(bool for_ever);

  // The same, without a detour through the scheduler. Inline and without anything to do after the
  // swap: see emulator_swap_stacks.
  void switch_to(Fiber& next, bool for_ever) {
    address_sanitizer::start_switch(for_ever ? nullptr : &address_sanitizer_stack_, next.stack_,
                                    stack_bytes());
    race_detector::switch_to(next.actor_);
    swap_context(context_, next.context_);
    if constexpr (address_sanitizer::kEnabled) arrive(address_sanitizer_stack_);
  }

  // The first statement of `entry`.
  static void entered() { arrive(nullptr); }

  race_detector::Actor actor() const { return actor_; }

  // Empties the pool; while no block runs.
  static void release_stacks();

 private:
  static size_t stack_bytes() {
    if (address_sanitizer::kEnabled) return 256 * 1024;
    // ThreadSanitizer symbolises its reports on the stack of the fiber that raced.
    return race_detector::enabled() ? 1024 * 1024 : 64 * 1024;
  }

  static unsigned char* map_stack();
  // What follows a switch to a fiber, on it.
  static void arrive(void* address_sanitizer_stack);

  MachineContext context_;
  unsigned char* stack_ = nullptr;
  race_detector::Actor actor_ = nullptr;
  void* address_sanitizer_stack_ = nullptr;
};

// To be called by the thread that will resume fibers, before it does.
void adopt_scheduler_thread();

}  // namespace emulator
