// A thread's neighbouring outputs: stored, and read before where they are added to.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"

namespace per_step_dense {

// kElems neighbours by one instruction; they begin at a multiple of their size.
template <int kElems, class Out, class Accum>
__device__ __forceinline__ void add_stored_vector(const Out* gmem, Accum* values) {
  using Vector = Pack<Out, kElems>;
  const auto* raw = reinterpret_cast<const typename Vector::Raw*>(gmem);
  const Vector vector = Vector::from_raw(ptx::ld_global(raw));
#pragma unroll
  for (int e = 0; e < kElems; ++e) values[e] += to_accum(vector.elem[e]);
}

template <int kElems, class Out, class Accum>
__device__ __forceinline__ void store_vector(Out* gmem, const Accum* values) {
  using Vector = Pack<Out, kElems>;
  Vector vector;
#pragma unroll
  for (int e = 0; e < kElems; ++e) vector.elem[e] = from_accum<Out>(values[e]);
  ptx::st_global(reinterpret_cast<typename Vector::Raw*>(gmem), vector.raw());
}

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
    for (int j = 0; j < kGroup; j += kElems) add_stored_vector<kElems>(gmem + j, values + j);
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) add_stored_vector<1>(gmem + j * stride, values + j);
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
    for (int j = 0; j < kGroup; j += kElems) store_vector<kElems>(gmem + j, values + j);
    return;
  }
#pragma unroll
  for (int j = 0; j < kGroup; ++j) {
    if (j < count) store_vector<1>(gmem + j * stride, values + j);
  }
}

}  // namespace per_step_dense
