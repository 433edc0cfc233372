// Shadows CUDA's header: the device language, as far as this project uses it.
#pragma once

#include <cmath>
#include <cstring>

#include "cuda_runtime_api.h"
#include "runtime/device.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __CUDA_ARCH_FEAT_SM90_ALL  // as when nvcc compiles for sm_90a

#define threadIdx (::emulator::thread_index())
#define blockIdx (::emulator::block_index())
#define blockDim (::emulator::block_extent())
#define gridDim (::emulator::grid_extent())

#define EMULATOR_TEXT_OF(line) #line
#define EMULATOR_LINE_TEXT(line) EMULATOR_TEXT_OF(line)
#define __syncthreads() ::emulator::sync_threads(__FILE__ ":" EMULATOR_LINE_TEXT(__LINE__))

inline void __syncwarp(uint32_t mask = 0xffffffffu) { ::emulator::sync_warp(mask); }

namespace emulator {

// A value of 64 bits travels as two of 32, as on the GPU.
template <class T>
T shuffle_value(Shuffle mode, uint32_t mask, T value, int operand, int width) {
  constexpr size_t kWords = sizeof(T) / sizeof(uint32_t);
  static_assert(sizeof(T) == kWords * sizeof(uint32_t) && kWords <= 2,
                "CUDA shuffles no such type");
  uint32_t words[kWords];
  std::memcpy(words, &value, sizeof words);
  for (uint32_t& word : words) word = shuffle(mode, mask, word, operand, width);
  std::memcpy(&value, words, sizeof words);
  return value;
}

}  // namespace emulator

template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32) {
  return ::emulator::shuffle_value(::emulator::Shuffle::kIndex, mask, value, lane, width);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  return ::emulator::shuffle_value(::emulator::Shuffle::kUp, mask, value, static_cast<int>(delta),
                                   width);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  return ::emulator::shuffle_value(::emulator::Shuffle::kDown, mask, value, static_cast<int>(delta),
                                   width);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = 32) {
  return ::emulator::shuffle_value(::emulator::Shuffle::kXor, mask, value, lane_mask, width);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
  return ::emulator::ballot(mask, predicate != 0);
}
inline int __popc(uint32_t bits) { return __builtin_popcount(bits); }
inline int __any_sync(uint32_t mask, int predicate) {
  return ::emulator::ballot(mask, predicate != 0) != 0;
}
inline int __all_sync(uint32_t mask, int predicate) {
  return ::emulator::ballot(mask, predicate != 0) == mask;
}

constexpr float2 make_float2(float x, float y) { return {x, y}; }
constexpr float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
constexpr uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// CUDA has these without a namespace.
using std::isfinite;
using std::isinf;
using std::isnan;
template <class T>
constexpr T min(T left, T right) {
  return right < left ? right : left;
}
template <class T>
constexpr T max(T left, T right) {
  return left < right ? right : left;
}
inline float __expf(float value) { return expf(value); }
inline float __fdividef(float numerator, float denominator) { return numerator / denominator; }
inline float __frcp_rn(float value) { return 1.0f / value; }
