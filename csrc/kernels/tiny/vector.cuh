// Neighbouring elements moved by as few instructions as there can be.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/ptx.cuh"

namespace per_step_dense::tiny {

template <class Scalar, int kElems>
inline constexpr int kVectorElems =
    kElems * int(sizeof(Scalar)) <= kVectorBytes ? kElems : kVectorBytes / int(sizeof(Scalar));

template <int kElems, class Scalar>
__device__ __forceinline__ void load_vectors(const Scalar* gmem, Scalar (&elems)[kElems]) {
  using Vector = Pack<Scalar, kVectorElems<Scalar, kElems>>;
  constexpr int kStep = kVectorElems<Scalar, kElems>;
#pragma unroll
  for (int i = 0; i < kElems; i += kStep) {
    const auto* vector = reinterpret_cast<const typename Vector::Raw*>(gmem + i);
    const Vector pack = Vector::from_raw(ptx::ld_global_nc(vector));
#pragma unroll
    for (int j = 0; j < kStep; ++j) elems[i + j] = pack.elem[j];
  }
}

template <int kElems, class Scalar>
__device__ __forceinline__ void store_vectors(Scalar* gmem, const Scalar (&elems)[kElems]) {
  using Vector = Pack<Scalar, kVectorElems<Scalar, kElems>>;
  constexpr int kStep = kVectorElems<Scalar, kElems>;
#pragma unroll
  for (int i = 0; i < kElems; i += kStep) {
    Vector pack;
#pragma unroll
    for (int j = 0; j < kStep; ++j) pack.elem[j] = elems[i + j];
    ptx::st_global(reinterpret_cast<typename Vector::Raw*>(gmem + i), pack.raw());
  }
}

}  // namespace per_step_dense::tiny
