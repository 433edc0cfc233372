// Ending a run because the kernel did what it must not.
#pragma once

namespace emulator {

// Thrown where there is no thread to abandon: an engine's work that the scheduler runs itself.
struct EngineStopped {};

// Records the first failure of the block and abandons the calling thread. `kind` is a literal.
[[noreturn]] void fail(const char* kind, const char* format, ...)
    __attribute__((format(printf, 2, 3)));

}  // namespace emulator
