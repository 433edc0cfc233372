// The families of kernels behind one interface, as csrc/ops_cuda.cpp has it for torch.
#pragma once

#include <string>

#include "bridge.h"
#include "cuda_runtime_api.h"

namespace emulator {

using per_step_dense::BackwardProblem;
using per_step_dense::Choice;
using per_step_dense::DType;
using per_step_dense::ForwardProblem;
using per_step_dense::KernelFamily;

// Of the family kAten where no kernel can do what is asked for.
Choice choose(const ForwardProblem& problem, const KernelRequest& request);
Choice choose(const BackwardProblem& problem, const KernelRequest& request);

// Why the family that is asked for cannot; empty where it can.
std::string why_not(const ForwardProblem& problem, const KernelRequest& request);
std::string why_not(const BackwardProblem& problem, const KernelRequest& request);

cudaError_t launch(const ForwardProblem& problem, const Choice& choice, void* workspace,
                   cudaStream_t stream);
cudaError_t launch(const BackwardProblem& problem, const Choice& choice, void* workspace,
                   cudaStream_t stream);

// False where there is no such tile.
bool tile_facts(KernelFamily family, DType dtype, int index, TileFacts& facts);

}  // namespace emulator
