#include "runtime/machine_context.h"

#ifdef EMULATOR_UCONTEXT

namespace emulator {

void prepare_context(MachineContext& context, unsigned char* stack, size_t stack_bytes,
                     void (*entry)()) {
  getcontext(&context.machine);
  context.machine.uc_stack.ss_sp = stack;
  context.machine.uc_stack.ss_size = stack_bytes;
  context.machine.uc_link = nullptr;
  makecontext(&context.machine, entry, 0);
}

}  // namespace emulator

#else

asm(R"(
.text
.globl emulator_swap_stacks
.hidden emulator_swap_stacks
.type emulator_swap_stacks, @function
emulator_swap_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size emulator_swap_stacks, .-emulator_swap_stacks
)");

namespace emulator {

void prepare_context(MachineContext& context, unsigned char* stack, size_t stack_bytes,
                     void (*entry)()) {
  constexpr size_t kHeadroomBytes = 64;  // keeps the ABI's 16-byte alignment at entry
  constexpr int kSavedRegisters = 6;
  void** top = reinterpret_cast<void**>(stack + stack_bytes - kHeadroomBytes);
  *--top = nullptr;  // the return address of entry: there is none
  *--top = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < kSavedRegisters; ++saved) *--top = nullptr;
  context.stack_pointer = top;
}

}  // namespace emulator

#endif
