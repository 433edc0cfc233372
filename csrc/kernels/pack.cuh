// Several elements that one instruction loads or stores.
#pragma once

#include "kernels/cuda.cuh"

namespace per_step_dense {

inline constexpr int kVectorBytes = 16;  // the widest access there is

namespace detail {
template <int kBytes>
struct RawOf;
template <>
struct RawOf<2> {
  using type = unsigned short;
};
template <>
struct RawOf<4> {
  using type = unsigned;
};
template <>
struct RawOf<8> {
  using type = uint2;
};
template <>
struct RawOf<16> {
  using type = uint4;
};
}  // namespace detail

template <class Scalar, int kElems>
struct Pack {
  // What the instruction moves: 2, 4, 8 or 16 bytes.
  using Raw = typename detail::RawOf<sizeof(Scalar) * kElems>::type;

  Scalar elem[kElems];

  __device__ static Pack from_raw(const Raw& raw) {
    Pack pack;
    __builtin_memcpy(pack.elem, &raw, sizeof raw);
    return pack;
  }
  __device__ Raw raw() const {
    Raw raw;
    __builtin_memcpy(&raw, elem, sizeof raw);
    return raw;
  }
};

}  // namespace per_step_dense
