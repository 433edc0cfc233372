// Shadows csrc/kernels/ptx_wgmma.cuh: the same wrappers with the emulator's bodies.
#pragma once

#include <cstdint>

#include "kernels/cuda.cuh"

namespace per_step_dense::ptx {

inline void wgmma_fence() { ::emulator::wgmma_fence(); }
inline void wgmma_commit_group() { ::emulator::wgmma_commit_group(); }
template <int kPending>
void wgmma_wait_group() {
  ::emulator::wgmma_wait_group(kPending);
}

// Keeps nvcc from moving accesses to the accumulator across a wgmma; here calls do that.
template <int kCount>
void fence_operand(float (&registers)[kCount]) {
  static_cast<void>(registers);
}

template <int kCount>
void fence_operand(uint32_t (&registers)[kCount]) {
  static_cast<void>(registers);
}

template <int kN, bool kTransA, bool kTransB>
void wgmma_m64k16_f16(float (&accum)[kN / 2], uint64_t descriptor_a, uint64_t descriptor_b,
                      bool accumulate) {
  static_assert(kN >= 8 && kN <= 256 && kN % 8 == 0, "not a shape of wgmma");
  constexpr ::emulator::WgmmaShape kShape{::emulator::WgmmaType::kFloat16, kN, kTransA, kTransB};
  ::emulator::wgmma(accum, kShape, descriptor_a, descriptor_b, accumulate);
}
template <int kN, bool kTransA, bool kTransB>
void wgmma_m64k16_bf16(float (&accum)[kN / 2], uint64_t descriptor_a, uint64_t descriptor_b,
                       bool accumulate) {
  static_assert(kN >= 8 && kN <= 256 && kN % 8 == 0, "not a shape of wgmma");
  constexpr ::emulator::WgmmaShape kShape{::emulator::WgmmaType::kBfloat16, kN, kTransA, kTransB};
  ::emulator::wgmma(accum, kShape, descriptor_a, descriptor_b, accumulate);
}

template <int kN>
void wgmma_m64k8_tf32(float (&accum)[kN / 2], uint64_t descriptor_a, uint64_t descriptor_b,
                      bool accumulate) {
  static_assert(kN >= 8 && kN <= 256 && kN % 8 == 0, "not a shape of wgmma");
  constexpr ::emulator::WgmmaShape kShape{::emulator::WgmmaType::kTfloat32, kN, false, false};
  ::emulator::wgmma(accum, kShape, descriptor_a, descriptor_b, accumulate);
}
template <int kN>
void wgmma_m64k8_tf32(float (&accum)[kN / 2], const uint32_t (&a)[4], uint64_t descriptor_b,
                      bool accumulate) {
  static_assert(kN >= 8 && kN <= 256 && kN % 8 == 0, "not a shape of wgmma");
  constexpr ::emulator::WgmmaShape kShape{::emulator::WgmmaType::kTfloat32, kN, false, false};
  ::emulator::wgmma_of_registers(accum, kShape, a, descriptor_b, accumulate);
}

}  // namespace per_step_dense::ptx
