// Storing a thread's neighbouring outputs.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"

namespace per_step_dense {

// Stores the first `count` of them; all of them by whole vectors where alignment allows.
template <class Out, int kGroup, class Accum>
__device__ __forceinline__ void store_group(Out* gmem, int64_t stride,
                                            const Accum (&values)[kGroup], int64_t count,
                                            bool by_vectors) {
  constexpr int kElems = kGroup * sizeof(Out) < kVectorBytes ? kGroup : kVectorBytes / sizeof(Out);
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
