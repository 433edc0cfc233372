#include "runtime/fiber.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {
namespace {

size_t stack_bytes() {
#ifdef __SANITIZE_ADDRESS__
  return 256 * 1024;
#else
  // ThreadSanitizer symbolises its reports on the stack of the fiber that raced.
  return race_detector::enabled() ? 1024 * 1024 : 64 * 1024;
#endif
}

struct SchedulerContext {
  MachineContext context;
  race_detector::Actor actor = nullptr;
  void* address_sanitizer_stack = nullptr;
  const void* stack_bottom = nullptr;
  size_t stack_size = 0;
};

SchedulerContext scheduler;

// Stacks and race-detector actors are made once: both are slow to make.
struct Slot {
  unsigned char* stack;
  race_detector::Actor actor;
};

unsigned char* map_stack() {
  constexpr size_t kGuardBytes = 4096;  // an overflowing stack faults instead of spreading
  void* mapping = mmap(nullptr, stack_bytes() + kGuardBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || mprotect(mapping, kGuardBytes, PROT_NONE) != 0) {
    std::perror("emulator: cannot map a stack");
    std::abort();
  }
  return static_cast<unsigned char*>(mapping) + kGuardBytes;
}

Slot& slot_at(size_t index) {
  static std::vector<Slot> slots;
  while (slots.size() <= index) slots.push_back({map_stack(), race_detector::create_actor()});
  return slots[index];
}

}  // namespace

void adopt_scheduler_thread() { scheduler.actor = race_detector::current_actor(); }
race_detector::Actor scheduler_actor() { return scheduler.actor; }

void Fiber::prepare(size_t slot, void (*entry)()) {
  stack_ = slot_at(slot).stack;
  actor_ = slot_at(slot).actor;
#ifdef __SANITIZE_ADDRESS__
  // The fiber that used this stack before may have been abandoned with its frames poisoned.
  ASAN_UNPOISON_MEMORY_REGION(stack_, stack_bytes());
#endif
  prepare_context(context_, stack_, stack_bytes(), entry);
}

void Fiber::resume() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&scheduler.address_sanitizer_stack, stack_, stack_bytes());
#endif
  race_detector::switch_to(actor_);
  swap_context(scheduler.context, context_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(scheduler.address_sanitizer_stack, nullptr, nullptr);
#endif
}

void Fiber::suspend([[maybe_unused]] bool for_ever) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(for_ever ? nullptr : &address_sanitizer_stack_,
                                 scheduler.stack_bottom, scheduler.stack_size);
#endif
  race_detector::switch_to(scheduler.actor);
  swap_context(context_, scheduler.context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(address_sanitizer_stack_, &scheduler.stack_bottom,
                                  &scheduler.stack_size);
#endif
}

void Fiber::entered() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack_bottom, &scheduler.stack_size);
#endif
}

}  // namespace emulator
