// The C interfaces that the tests load through ctypes and the driver calls directly.
#pragma once

#include <cstddef>
#include <cstdint>

#include "choice.h"
#include "kernels/example_gemm.h"
#include "kernels/launch_shape.h"
#include "problem.h"
#include "runtime/session.h"

namespace emulator {

// What a caller leaves to the chooser, and what not.
struct KernelRequest {
  per_step_dense::KernelFamily family;
  int32_t tile;          // -1: let the chooser decide
  int32_t splits[2];     // by Product; 0: let the chooser decide
  int32_t architecture;  // 90 for sm_90
  int32_t sms;           // of a persistent grid; 0: as many as the architecture has
};

// What became of it.
struct KernelDecision {
  per_step_dense::Choice choice;
  per_step_dense::LaunchPlan plan;
};

// The compile-time values of a tile.
struct TileFacts {
  int32_t block_m, block_n, block_k;  // tiny has no block_k: the terms a thread loads at a time
  int32_t weight_m, weight_n;         // grad-weight's, where its tile is another
  int32_t threads, blocks_per_sm;
  int32_t cluster, stages;  // of a persistent grid; elsewhere 0
  char name[24];
};

// A tensor map to encode, and how to find what encodes it.
struct EncodeRequest {
  uint32_t version;  // of CUDA, of which the driver's function is asked for
  int32_t type, rank, interleave, swizzle, promotion, fill;
  uint32_t map_offset;  // in bytes, from where the map would be aligned
  uint64_t base;
  uint64_t extents[3], strides[2];
  uint32_t box[3], element_strides[3];
};

inline constexpr int kNoEncoder = -1;

}  // namespace emulator

extern "C" {

// Gives back the stacks of the emulated threads. A process may have many libraries, and the system
// limits how many stacks that makes.
void emulator_release_stacks();

size_t emulator_schedule_count();
const char* emulator_schedule_name(size_t index);

// Null beyond the last one.
const char* emulator_activation_name(int index);
const char* emulator_family_name(int index);

// So that a mirror of a struct in another language can notice that it is out of date.
size_t emulator_struct_bytes(const char* name);

// The tile of a family at `index` for a dtype; false beyond the last one.
bool emulator_tile_facts(per_step_dense::KernelFamily family, per_step_dense::DType dtype,
                         int index, emulator::TileFacts* facts);

// The package's operations.
void emulator_forward(const per_step_dense::ForwardProblem* problem,
                      const emulator::KernelRequest* request, size_t schedule,
                      emulator::KernelDecision* decision, emulator::Report* report);
void emulator_backward(const per_step_dense::BackwardProblem* problem,
                       const emulator::KernelRequest* request, size_t schedule,
                       emulator::KernelDecision* decision, emulator::Report* report);
void emulator_activation_backward(const per_step_dense::ActivationBackwardProblem* problem,
                                  size_t schedule, emulator::Report* report);

// Whether the plan cache takes one problem for the other; what the cost model counts as read and as
// written.
bool emulator_share_a_plan(const per_step_dense::BackwardProblem* one,
                           const per_step_dense::BackwardProblem* other);
double emulator_bytes_of(const per_step_dense::BackwardProblem* problem);

// The example kernels.
void emulator_mma_sync_gemm(const per_step_dense::example::GemmProblem* problem, size_t schedule,
                            emulator::Report* report);
void emulator_wgmma_gemm(const per_step_dense::example::GemmProblem* problem, int columns,
                         int consumers, size_t schedule, emulator::Report* report);

// The shadow headers' conversions, element by element.
void emulator_round_to_float16(const float* values, uint16_t* rounded, size_t count);
void emulator_widen_float16(const uint16_t* values, float* widened, size_t count);
void emulator_round_to_bfloat16(const float* values, uint16_t* rounded, size_t count);
void emulator_round_to_tfloat32(const float* values, uint32_t* rounded, size_t count);

// The driver from now on: 0, it works; kNoEncoder, it lacks the encoder of tensor maps; else the
// CUresult that every encoding comes to.
void emulator_set_driver(int state);
// From now on, the launch of this number of every call comes to the error; -1: none does.
void emulator_fail_launch(int launch, int error);
// From now on, these blocks alone of every grid run; without any, all do.
void emulator_run_blocks(const uint32_t* blocks, size_t count);
// What encoding a map comes to: a CUresult, or kNoEncoder.
int emulator_encode(const emulator::EncodeRequest* request);

// A small kernel of kernels/behaviours.cuh by its name, and their names: null beyond the last one.
void emulator_behaviour(const char* name, size_t schedule, emulator::Report* report);
const char* emulator_behaviour_name(int index);

}  // extern "C"
