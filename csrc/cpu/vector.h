// Vectors of floats as GCC and Clang know them: one source for every width.
//
// Everything is inlined and in an unnamed namespace. These headers are compiled once an instruction
// set, and a function that two of them shared could bring one's instructions to the other's CPU.
#pragma once

#include <cstdint>
#include <cstring>

#define PSD_INLINE inline __attribute__((always_inline))

#if defined(__clang__)
#define PSD_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else  // GCC has the other name only since 12
#define PSD_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, VectorOf<8>::Integers{__VA_ARGS__})
#endif

namespace per_step_dense::cpu {
namespace {

template <int kLanes>
struct VectorOf {
  typedef float Floats __attribute__((vector_size(4 * kLanes)));
  typedef int32_t Integers __attribute__((vector_size(4 * kLanes)));
};

// A config: what an instruction set has registers for. Two vectors of columns times kRows are
// accumulated at once; besides them, two of b and one of a have to fit.
template <int kLanes_, int kRows_>
struct Registers {
  static constexpr int kLanes = kLanes_;
  static constexpr int kRows = kRows_;
  static constexpr int kColumns = 2 * kLanes;
  using Vector = typename VectorOf<kLanes>::Floats;
  using Integers = typename VectorOf<kLanes>::Integers;
};

// At any address of a float. (An attribute for that on the type would be lost on the way through a
// template's argument.)
template <class V>
PSD_INLINE V load(const float* from) {
  V value;
  memcpy(&value, from, sizeof(V));
  return value;
}

template <class V>
PSD_INLINE void store(float* to, V value) {
  memcpy(to, &value, sizeof(V));
}

constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t round_up(int64_t a, int64_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

}  // namespace
}  // namespace per_step_dense::cpu
