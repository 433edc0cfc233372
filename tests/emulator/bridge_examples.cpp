// The C interface to the example kernels, and to the shadow headers' conversions.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <vector>

#include "bridge.h"
#include "runtime/tfloat32.h"

namespace {

using per_step_dense::example::GemmProblem;

std::vector<emulator::TensorView> views_of(const GemmProblem& p) {
  using emulator::BufferRole;
  const auto contiguous = [](const char* name, BufferRole role, const void* data, int64_t outer,
                             int64_t middle, int64_t inner) {
    return emulator::TensorView{name,
                                role,
                                const_cast<void*>(data),
                                sizeof(__nv_bfloat16),
                                {outer, middle, inner},
                                {middle * inner, inner, 1}};
  };
  std::vector<emulator::TensorView> views = {
      contiguous("x", BufferRole::kInput, p.x, p.b, p.t, p.i),
      contiguous("weight", BufferRole::kInput, p.weight, p.t, p.i, p.o),
      contiguous("y", BufferRole::kOutput, p.y, p.b, p.t, p.o),
  };
  if (p.bias) views.push_back(contiguous("bias", BufferRole::kInput, p.bias, 1, p.t, p.o));
  return views;
}

}  // namespace

void emulator_mma_sync_gemm(const GemmProblem* problem, size_t schedule, emulator::Report* report) {
  emulator::run_in_session(emulator::schedule_at(schedule), views_of(*problem), *report, [&] {
    return per_step_dense::example::mma_sync_gemm(*problem, nullptr);
  });
}

void emulator_wgmma_gemm(const GemmProblem* problem, int columns, int consumers, size_t schedule,
                         emulator::Report* report) {
  emulator::run_in_session(emulator::schedule_at(schedule), views_of(*problem), *report, [&] {
    return per_step_dense::example::wgmma_gemm(*problem, columns, consumers, nullptr);
  });
}

void emulator_round_to_float16(const float* values, uint16_t* rounded, size_t count) {
  for (size_t i = 0; i < count; ++i) rounded[i] = __float2half_rn(values[i]).bits;
}

void emulator_widen_float16(const uint16_t* values, float* widened, size_t count) {
  for (size_t i = 0; i < count; ++i) widened[i] = __half2float({values[i]});
}

void emulator_round_to_bfloat16(const float* values, uint16_t* rounded, size_t count) {
  for (size_t i = 0; i < count; ++i) rounded[i] = __float2bfloat16_rn(values[i]).bits;
}

void emulator_round_to_tfloat32(const float* values, uint32_t* rounded, size_t count) {
  for (size_t i = 0; i < count; ++i) rounded[i] = emulator::float_to_tfloat32(values[i]);
}
