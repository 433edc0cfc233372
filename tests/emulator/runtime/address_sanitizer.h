// What the runtime tells AddressSanitizer, and nothing when it is compiled without it.
#pragma once

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator::address_sanitizer {

#ifdef __SANITIZE_ADDRESS__

constexpr bool kEnabled = true;

inline void poison(const void* begin, size_t bytes) { ASAN_POISON_MEMORY_REGION(begin, bytes); }
inline void unpoison(const void* begin, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(begin, bytes); }

// Before and after a change of stacks. `kept` is null if the stack that is left will not be used
// again.
inline void start_switch(void** kept, const void* next_bottom, size_t next_bytes) {
  __sanitizer_start_switch_fiber(kept, next_bottom, next_bytes);
}
inline void finish_switch(void* kept, const void** left_bottom, size_t* left_bytes) {
  __sanitizer_finish_switch_fiber(kept, left_bottom, left_bytes);
}

#else

constexpr bool kEnabled = false;

inline void poison(const void*, size_t) {}
inline void unpoison(const void*, size_t) {}
inline void start_switch(void**, const void*, size_t) {}
inline void finish_switch(void*, const void**, size_t*) {}

#endif

}  // namespace emulator::address_sanitizer
