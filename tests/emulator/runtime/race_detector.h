// What the runtime tells ThreadSanitizer, and nothing when the program is built without it.
//
// In that build the runtime itself is compiled without instrumentation: its bookkeeping is not the
// kernel's doing. It reports instead, on behalf of the right CUDA thread or engine, the accesses
// that an instruction makes and the orders that a barrier establishes. The functions are weak, so
// that the same objects link with or without the sanitizer.
#pragma once

#include <cstddef>

extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void* fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void __tsan_acquire(void* token);
__attribute__((weak)) void __tsan_release(void* token);
__attribute__((weak)) void __tsan_read_range(void* address, unsigned long bytes);
__attribute__((weak)) void __tsan_write_range(void* address, unsigned long bytes);
}

namespace emulator::race_detector {

// Who is accessing memory: a CUDA thread, or an engine.
using Actor = void*;

inline bool enabled() { return __tsan_create_fiber != nullptr; }

inline Actor create_actor() { return enabled() ? __tsan_create_fiber(0) : nullptr; }
inline void destroy_actor(Actor actor) {
  if (enabled()) __tsan_destroy_fiber(actor);
}
inline Actor current_actor() { return enabled() ? __tsan_get_current_fiber() : nullptr; }

// Switching alone orders nothing: only acquire and release do.
inline void switch_to(Actor actor) {
  constexpr unsigned kNoSynchronisation = 1;
  if (enabled()) __tsan_switch_to_fiber(actor, kNoSynchronisation);
}

inline void acquire(const void* token) {
  if (enabled()) __tsan_acquire(const_cast<void*>(token));
}
inline void release(const void* token) {
  if (enabled()) __tsan_release(const_cast<void*>(token));
}
inline void read(const void* address, size_t bytes) {
  if (enabled() && bytes != 0) __tsan_read_range(const_cast<void*>(address), bytes);
}
inline void write(const void* address, size_t bytes) {
  if (enabled() && bytes != 0) __tsan_write_range(const_cast<void*>(address), bytes);
}

// Acts as another for a scope.
class ActingAs {
 public:
  explicit ActingAs(Actor actor) : previous_(current_actor()) { switch_to(actor); }
  ~ActingAs() { switch_to(previous_); }
  ActingAs(const ActingAs&) = delete;
  ActingAs& operator=(const ActingAs&) = delete;

 private:
  Actor previous_;
};

}  // namespace emulator::race_detector
