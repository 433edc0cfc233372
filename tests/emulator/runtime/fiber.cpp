#include "runtime/fiber.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace emulator {
namespace {

struct SchedulerContext {
  MachineContext context;
  race_detector::Actor actor = nullptr;
  void* address_sanitizer_stack = nullptr;
  const void* stack_bottom = nullptr;
  size_t stack_size = 0;
  bool is_left = false;  // by a switch that has not arrived yet
};

SchedulerContext scheduler;

// Stacks and race-detector actors are made once: both are slow to make.
struct Slot {
  unsigned char* stack;
  race_detector::Actor actor;
};

std::vector<Slot> slots;

constexpr size_t kGuardBytes = 4096;  // an overflowing stack faults instead of spreading

}  // namespace

void adopt_scheduler_thread() { scheduler.actor = race_detector::current_actor(); }

unsigned char* Fiber::map_stack() {
  void* mapping = mmap(nullptr, stack_bytes() + kGuardBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || mprotect(mapping, kGuardBytes, PROT_NONE) != 0) {
    std::perror("emulator: cannot map a stack");
    std::abort();
  }
  return static_cast<unsigned char*>(mapping) + kGuardBytes;
}

void Fiber::release_stacks() {
  for (const Slot& slot : slots) munmap(slot.stack - kGuardBytes, stack_bytes() + kGuardBytes);
  slots.clear();
}

void Fiber::prepare(size_t slot, void (*entry)()) {
  while (slots.size() <= slot) slots.push_back({map_stack(), race_detector::create_actor()});
  stack_ = slots[slot].stack;
  actor_ = slots[slot].actor;
  // The fiber that used this stack before may have been abandoned with its frames poisoned.
  address_sanitizer::unpoison(stack_, stack_bytes());
  // Mapped stacks begin at the same place of a page. Without a shift, lanes that execute the same
  // code would compete for the same lines of the cache.
  constexpr size_t kShiftBytes = 64;
  constexpr size_t kShifts = 32;
  prepare_context(context_, stack_, stack_bytes() - slot % kShifts * kShiftBytes, entry);
}

void Fiber::resume() {
  scheduler.is_left = true;
  address_sanitizer::start_switch(&scheduler.address_sanitizer_stack, stack_, stack_bytes());
  race_detector::switch_to(actor_);
  swap_context(scheduler.context, context_);
  address_sanitizer::finish_switch(scheduler.address_sanitizer_stack, nullptr, nullptr);
}

void Fiber::suspend(bool for_ever) {
  address_sanitizer::start_switch(for_ever ? nullptr : &address_sanitizer_stack_,
                                  scheduler.stack_bottom, scheduler.stack_size);
  race_detector::switch_to(scheduler.actor);
  swap_context(context_, scheduler.context);
  arrive(address_sanitizer_stack_);
}

void Fiber::arrive(void* address_sanitizer_stack) {
  const void* left_bottom = nullptr;
  size_t left_size = 0;
  address_sanitizer::finish_switch(address_sanitizer_stack, &left_bottom, &left_size);
  if (!scheduler.is_left) return;
  scheduler.is_left = false;
  scheduler.stack_bottom = left_bottom;
  scheduler.stack_size = left_size;
}

}  // namespace emulator
