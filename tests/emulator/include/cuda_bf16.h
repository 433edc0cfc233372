// Shadows CUDA's header: bfloat16 storage and the conversions that kernels use.
#pragma once

#include "cuda_runtime.h"
#include "runtime/bfloat16.h"

struct __nv_bfloat16 {
  uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  return {::emulator::float_to_bfloat16(value)};
}
inline float __bfloat162float(__nv_bfloat16 value) {
  return ::emulator::bfloat16_to_float(value.bits);
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
