// Shadows CUDA's header: float16 storage and the conversions that kernels use.
#pragma once

#include "cuda_runtime.h"
#include "runtime/float16.h"

struct __half {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};

inline __half __float2half_rn(float value) { return {::emulator::float_to_float16(value)}; }
inline float __half2float(__half value) { return ::emulator::float16_to_float(value.bits); }
inline __half2 __floats2half2_rn(float x, float y) {
  return {__float2half_rn(x), __float2half_rn(y)};
}
