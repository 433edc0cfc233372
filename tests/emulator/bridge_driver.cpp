// The C interface to CUDA's driver as host code finds it: its launches, and its encoder of tensor
// maps.
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>

#include <cstring>

#include "bridge.h"
#include "runtime/driver.h"
#include "runtime/launch_control.h"

void emulator_fail_launch(int launch, int error) {
  emulator::LaunchControl& control = emulator::launch_control();
  control.failing_launch = launch;
  control.error = static_cast<cudaError_t>(error);
}

void emulator_run_blocks(const uint32_t* blocks, size_t count) {
  emulator::launch_control().blocks.assign(blocks, blocks + count);
}

void emulator_set_driver(int state) {
  emulator::Driver& driver = emulator::this_driver();
  driver = {};
  if (state == emulator::kNoEncoder) {
    driver.has_encoder = false;
  } else {
    driver.encoder_result = static_cast<CUresult>(state);
  }
}

int emulator_encode(const emulator::EncodeRequest* request) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, request->version, cudaEnableDefault, &found);
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) return emulator::kNoEncoder;
  PFN_cuTensorMapEncodeTiled_v12000 encode;
  std::memcpy(&encode, &function, sizeof encode);

  // Of what lies misaligned, no more than the address is looked at.
  alignas(CUtensorMap) unsigned char memory[2 * sizeof(CUtensorMap)];
  void* const map = memory + request->map_offset;
  return encode(static_cast<CUtensorMap*>(map), static_cast<CUtensorMapDataType>(request->type),
                static_cast<cuuint32_t>(request->rank), reinterpret_cast<void*>(request->base),
                request->extents, request->strides, request->box, request->element_strides,
                static_cast<CUtensorMapInterleave>(request->interleave),
                static_cast<CUtensorMapSwizzle>(request->swizzle),
                static_cast<CUtensorMapL2promotion>(request->promotion),
                static_cast<CUtensorMapFloatOOBfill>(request->fill));
}
