// Shadows CUDA's header: float16 storage and the conversions that kernels use.
#pragma once

#include "cuda_runtime.h"
#include "runtime/float16.h"

struct __half {
  uint16_t bits;
};

inline __half __float2half_rn(float value) { return {::emulator::float_to_float16(value)}; }
inline float __half2float(__half value) { return ::emulator::float16_to_float(value.bits); }
