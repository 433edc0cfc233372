// IEEE binary16, by integer arithmetic: not every host compiler has the type.
#pragma once

#include <cstdint>
#include <cstring>

namespace emulator {

// Without a branch, so that the compiler can convert several at once.
inline float float16_to_float(uint16_t bits) {
  const uint32_t sign = uint32_t{bits} >> 15 << 31;
  const uint32_t magnitude = uint32_t{bits} << 17 >> 4;
  float scaled;
  std::memcpy(&scaled, &magnitude, sizeof scaled);
  scaled *= 0x1p112f;  // between the exponents' biases; makes subnormals normal
  uint32_t widened;
  std::memcpy(&widened, &scaled, sizeof widened);
  const bool is_finite = magnitude < 0x0f800000;
  widened |= sign | (is_finite ? 0 : 0x7f800000);
  float value;
  std::memcpy(&value, &widened, sizeof value);
  return value;
}

// To nearest even, as the hardware's cvt.rn does.
inline uint16_t float_to_float16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7fff;
  if (magnitude >= 0x47800000) return sign | 0x7c00;  // 2^16 and more
  const bool is_normal = magnitude >= 0x38800000;     // 2^-14
  const int exponent = static_cast<int>(magnitude >> 23);
  const uint32_t significand = (magnitude & 0x7fffff) | 0x800000;
  const int dropped = is_normal ? 13 : 126 - exponent;
  if (dropped > 24) return sign;  // less than half of the smallest subnormal
  const uint32_t kept = is_normal ? magnitude - (uint32_t{112} << 23) : significand;
  const uint32_t half = uint32_t{1} << (dropped - 1);
  // A carry runs into the exponent, and from the largest exponent to infinity, as it should.
  const uint32_t rounded = (kept + half - 1 + (kept >> dropped & 1)) >> dropped;
  return static_cast<uint16_t>(sign | rounded);
}

}  // namespace emulator
