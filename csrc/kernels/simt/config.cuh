// The compile-time values of a tile, and its shared memory.
#pragma once

#include "kernels/cuda.cuh"

namespace per_step_dense::simt {

template <class Scalar_, int kBlockM_, int kBlockN_, int kBlockK_, int kThreadM_, int kThreadN_>
struct Config {
  using Scalar = Scalar_;
  static constexpr int kBlockM = kBlockM_, kBlockN = kBlockN_, kBlockK = kBlockK_;
  static constexpr int kThreadM = kThreadM_, kThreadN = kThreadN_;  // outputs a thread holds
  static constexpr int kThreadsN = kBlockN / kThreadN;
  static constexpr int kThreads = (kBlockM / kThreadM) * kThreadsN;

  // Rows stay 16-byte aligned for vector reads, and the transposing store spreads over the banks.
  static constexpr int kPad = 4;

  // A sum of more terms than this is accumulated in two levels: sequential float32 summation of
  // 2048 terms has 3.5 times the error of torch's own.
  static constexpr int kTermsPerFold = 256;

  static_assert(kThreadM == 4 && kThreadN == 4, "mainloop reads one float4 of each operand");
  static_assert(kBlockM % 4 == 0 && kBlockN % 4 == 0, "or vector reads are misaligned");
  static_assert(kThreads % kBlockK == 0 && kThreads % kBlockM == 0 && kThreads % kBlockN == 0,
                "or a thread's elements of an operand tile are not evenly spaced");
  static_assert(kTermsPerFold % kBlockK == 0, "or a fold falls inside a tile");
};

template <class Config>
struct SharedStorage {
  using Scalar = typename Config::Scalar;
  alignas(16) Scalar a[Config::kBlockK][Config::kBlockM + Config::kPad];
  alignas(16) Scalar b[Config::kBlockK][Config::kBlockN + Config::kPad];
};

}  // namespace per_step_dense::simt
