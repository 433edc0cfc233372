// How wgmma is told where an operand lies in shared memory.
#pragma once

#include "kernels/cuda.cuh"
#include "kernels/sm90/shared_storage.h"

namespace per_step_dense::sm90 {

// Where an operand of wgmma begins and how it goes on, as the PTX ISA has it for the 128-byte
// swizzle. Along k (x), the next 8 rows are kSwizzleBytes on. Along its rows (the weight), the next
// 8 terms are kSwizzleBytes on, and the next 64 columns are `leading_bytes` on: a panel.
__device__ __forceinline__ uint64_t matrix_descriptor(uint32_t smem, uint32_t leading_bytes) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  const auto field = [](uint32_t bytes) { return uint64_t((bytes & 0x3ffff) >> 4); };
  return field(smem) | field(leading_bytes) << 16 | field(kSwizzleBytes) << 32 | kSwizzle128;
}

}  // namespace per_step_dense::sm90
