// Sums of many terms that stay as exact as torch's own.
#pragma once

#include "kernels/cuda.cuh"

namespace per_step_dense {

// A sum of more terms than this is accumulated in two levels: term by term, float32 has up to 2.6
// times the error of torch's own near 256 terms, 5 times at 2048. float64 has digits to spare.
inline constexpr int kTermsPerFold = 128;

// A sum that keeps what every addition rounds off (Knuth's TwoSum, which needs no order of sizes).
// Torch adds up bias gradients by cascades, which a folded sum does not match over 10^5 terms.
template <class Accum>
struct CompensatedSum {
  Accum sum = 0, lost = 0;

  __device__ __forceinline__ void add(Accum term) {
    const Accum next = sum + term;
    const Accum added = next - sum;
    lost += (sum - (next - added)) + (term - added);
    sum = next;
  }

  // An infinite sum has lost nothing but reads inf - inf there.
  __device__ __forceinline__ Accum total() const { return isfinite(sum) ? sum + lost : sum; }
};

}  // namespace per_step_dense
