// The types that tensor cores multiply: how they lie in registers or memory, and their values.
#pragma once

#include <cstdint>

#include "runtime/bfloat16.h"
#include "runtime/float16.h"
#include "runtime/tfloat32.h"

namespace emulator {

struct Bfloat16 {
  using Bits = uint16_t;
  static float widen(Bits bits) { return bfloat16_to_float(bits); }
};
struct Float16 {
  using Bits = uint16_t;
  static float widen(Bits bits) { return float16_to_float(bits); }
};
struct Tfloat32 {
  using Bits = uint32_t;
  static float widen(Bits bits) { return tfloat32_to_float(bits); }
};

}  // namespace emulator
