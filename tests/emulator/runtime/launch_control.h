// What a test makes of the launches to come.
#pragma once

#include <vector>

#include "cuda_runtime_api.h"

namespace emulator {

struct LaunchControl {
  int failing_launch = -1;  // of a call's, counted from 0; it comes to `error`, and nothing runs
  cudaError_t error = cudaSuccess;
  // Unless empty, those alone of a grid run, in this order, and outputs may stay unwritten. Of a
  // cluster the first one stands for all.
  std::vector<unsigned> blocks;
};

LaunchControl& launch_control();

}  // namespace emulator
