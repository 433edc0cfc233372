// The tensor cores' 19 bits of a float32: its sign, its exponent and 10 bits of its fraction.
#pragma once

#include <cstdint>
#include <cstring>

namespace emulator {

// A tensor core does not look at the other bits, so that an operand is cut, not rounded.
inline float tfloat32_to_float(uint32_t bits) {
  const uint32_t seen = bits & 0xffffe000u;
  float value;
  std::memcpy(&value, &seen, sizeof value);
  return value;
}

// To nearest, ties away from zero, as the hardware's cvt.rna does.
inline uint32_t float_to_tfloat32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fffffffu;
  // A carry runs into the exponent, and from the largest exponent to infinity, as it should.
  return (bits + 0x1000u) & 0xffffe000u;
}

}  // namespace emulator
