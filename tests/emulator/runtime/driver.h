// What tests may make of CUDA's driver, as host code finds it.
#pragma once

#include <cuda.h>

namespace emulator {

struct Driver {
  bool has_encoder = true;
  CUresult encoder_result = CUDA_SUCCESS;  // any other one is what every encoding comes to
};

Driver& this_driver();

}  // namespace emulator
