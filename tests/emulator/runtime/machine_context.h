// Switching stacks. On x86-64 by hand, since swapcontext makes a system call for every switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(EMULATOR_PORTABLE_CONTEXT)
#define EMULATOR_UCONTEXT 1
#include <ucontext.h>
#else
// Pushes the callee-saved registers, trades stack pointers, pops the other stack's registers.
//
// Goes back by a jump, since a processor predicts that a return leads to the last call: here that
// would be the place in the kernel that the lane before has come to, one instruction ahead.
extern "C" void emulator_swap_stacks(void** save, void* resume);
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

inline void swap_context(MachineContext& save, MachineContext& resume) {
#ifdef EMULATOR_UCONTEXT
  swapcontext(&save.machine, &resume.machine);
#else
  emulator_swap_stacks(&save.stack_pointer, resume.stack_pointer);
#endif
}

}  // namespace emulator
