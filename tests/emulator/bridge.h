// The C interfaces that the tests load through ctypes and the driver calls directly.
#pragma once

#include <cstddef>

#include "kernels/example_gemm.h"
#include "problem.h"
#include "runtime/session.h"

extern "C" {

size_t emulator_schedule_count();
const char* emulator_schedule_name(size_t index);

// Null beyond the last one.
const char* emulator_activation_name(int index);

// So that a mirror of a struct in another language can notice that it is out of date.
size_t emulator_struct_bytes(const char* name);

// The package's operations.
void emulator_forward(const per_step_dense::ForwardProblem* problem, size_t schedule,
                      emulator::Report* report);
void emulator_backward(const per_step_dense::BackwardProblem* problem, size_t schedule,
                       emulator::Report* report);
void emulator_activation_backward(const per_step_dense::ActivationBackwardProblem* problem,
                                  size_t schedule, emulator::Report* report);

// The example kernels.
void emulator_mma_sync_gemm(const per_step_dense::example::GemmProblem* problem, size_t schedule,
                            emulator::Report* report);
void emulator_wgmma_gemm(const per_step_dense::example::GemmProblem* problem, int columns,
                         int consumers, size_t schedule, emulator::Report* report);

// A small kernel of kernels/behaviours.cuh by its name, and their names: null beyond the last one.
void emulator_behaviour(const char* name, size_t schedule, emulator::Report* report);
const char* emulator_behaviour_name(int index);

}  // extern "C"
