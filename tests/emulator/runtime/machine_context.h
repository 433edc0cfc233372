// Switching stacks. On x86-64 by hand, since swapcontext makes a system call for every switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(EMULATOR_PORTABLE_CONTEXT)
#define EMULATOR_UCONTEXT 1
#include <ucontext.h>
#endif

namespace emulator {

struct MachineContext {
#ifdef EMULATOR_UCONTEXT
  ucontext_t machine;
#else
  void* stack_pointer = nullptr;
#endif
};

// Makes `context` start `entry` on an empty stack. `entry` never returns.
void prepare_context(MachineContext& context, unsigned char* stack, size_t stack_bytes,
                     void (*entry)());

void swap_context(MachineContext& save, MachineContext& resume);

}  // namespace emulator
