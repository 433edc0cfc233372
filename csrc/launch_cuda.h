// From a problem to a choice and its launches.
#pragma once

#include <ATen/core/Tensor.h>
#include <cuda_runtime_api.h>

#include <functional>
#include <string>

#include "plan_cache.h"
#include "problem.h"
#include "profiler_range.h"

namespace per_step_dense::cuda {

// Of the current device.
cudaStream_t current_stream();

// A RuntimeError that says what cannot be launched, unless it was.
void check_launched(cudaError_t status, const std::function<std::string()>& what);

// What computes the problem; refuses where the family that is asked for cannot.
PlannedCall plan(const ForwardProblem& problem, c10::DeviceIndex device, KernelFamily family);
PlannedCall plan(const BackwardProblem& problem, c10::DeviceIndex device, KernelFamily family);

// Of a problem whose outputs are there by now. `like` is a tensor of the device.
void launch(const ForwardProblem& problem, const PlannedCall& call, const at::Tensor& like);
void launch(const BackwardProblem& problem, const PlannedCall& call, const at::Tensor& like);

}  // namespace per_step_dense::cuda
