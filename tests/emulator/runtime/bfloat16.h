#pragma once

#include <cstdint>
#include <cstring>

namespace emulator {

inline float bfloat16_to_float(uint16_t bits) {
  const uint32_t widened = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &widened, sizeof value);
  return value;
}

// To nearest even, as the hardware's cvt.rn does.
inline uint16_t float_to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  if (is_nan) return 0x7fff;
  const uint32_t last_kept_bit = bits >> 16 & 1;
  return static_cast<uint16_t>((bits + 0x7fffu + last_kept_bit) >> 16);
}

}  // namespace emulator
