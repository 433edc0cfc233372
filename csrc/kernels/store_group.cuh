// A thread's neighbouring outputs: stored, and read before where they are added to.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"

namespace per_step_dense {

template <class Out, int kGroup>
inline constexpr int kElemsOfVector =
    kGroup * sizeof(Out) < kVectorBytes ? kGroup : kVectorBytes / int(sizeof(Out));

// Adds to the first `count` values what is stored for them; by whole vectors where alignment
// allows.
template <class Out, int kGroup, class Accum>
__device__ __forceinline__ void add_stored_group(const Out* gmem, int64_t stride,
                                                 Accum (&values)[kGroup], int64_t count,
                                                 bool by_vectors) {
  constexpr int kElems = kElemsOfVector<Out, kGroup>;
  if (by_vectors && count >= kGroup) {
#pragma unroll
    for (int j = 0; j < kGroup; j += kElems) {
      using Vector = Pack<Out, kElems>;
      const auto* raw = reinterpret_cast<const typename Vector::Raw*>(gmem + j);
      const Vector pack = Vector::from_raw(ptx::ld_global(raw));
#pragma unroll
      for (int e = 0; e < kElems; ++e) values[j + e] += to_accum(pack.elem[e]);
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) values[j] += to_accum(ptx::ld_global(gmem + j * stride));
  }
}

// Stores the first `count` of them; all of them by whole vectors where alignment allows.
template <class Out, int kGroup, class Accum>
__device__ __forceinline__ void store_group(Out* gmem, int64_t stride,
                                            const Accum (&values)[kGroup], int64_t count,
                                            bool by_vectors) {
  constexpr int kElems = kElemsOfVector<Out, kGroup>;
  if (by_vectors && count >= kGroup) {
#pragma unroll
    for (int j = 0; j < kGroup; j += kElems) {
      Pack<Out, kElems> pack;
#pragma unroll
      for (int e = 0; e < kElems; ++e) pack.elem[e] = from_accum<Out>(values[j + e]);
      using Raw = typename Pack<Out, kElems>::Raw;
      ptx::st_global(reinterpret_cast<Raw*>(gmem + j), pack.raw());
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) ptx::st_global(gmem + j * stride, from_accum<Out>(values[j]));
  }
}

}  // namespace per_step_dense
