// What a GPU can do, in the few figures that rank kernels; and whether this module can run on it.
// Pure host code: no torch, no CUDA header.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace per_step_dense {

// Whether the kernels of wgmma and TMA run: their code is for compute capability 9.0 alone, and
// their tensors are described by the driver.
enum class Sm90Support : int32_t { kRuns, kOtherCapability, kNotBuilt, kNoTensorMaps };

// Rates are what good kernels reach, not what data sheets promise: bytes and operations a second.
struct Architecture {
  int capability;  // 90: compute capability 9.0
  int sms;
  double clock_hz;
  double bandwidth;               // of global memory
  double l2_bandwidth;            // of the L2 cache
  double fp32_flops, fp64_flops;  // of the FMA units
  double tensor_fp64_flops;       // of the tensor cores, or the FMA units where those lack float64
  double tensor_16bit_flops;      // of the tensor cores, float16 and bfloat16 with float32 sums
  double tensor_tf32_flops;       // of the tensor cores, tfloat32
  double mma_sync_share;          // of those two rates, what mma.sync reaches
  int64_t smem_bytes_per_sm;
  Sm90Support sm90;
};

inline constexpr int kLeastCapability = 80;  // the kernels copy by cp.async

// What the driver tells of a device.
struct DeviceFigures {
  int capability;
  int sms;
  double clock_hz;
  double memory_clock_hz;
  int memory_bus_bits;
};

// The device that stands for an architecture where there is none to ask, such as the H200 for
// "sm_90"; false where the name is not known.
bool find_architecture(std::string_view name, Architecture& architecture);

// "sm_80, sm_86, ..."
std::string known_architectures();

// A device's own figures, with what the driver does not tell taken from the nominal device of the
// nearest earlier capability.
Architecture architecture_of(const DeviceFigures& device);

// "sm_90"
std::string name_of(const Architecture& architecture);

// What a module that was built for `built` (such as "8.0+PTX;9.0a") has for a GPU of this
// capability.
Sm90Support sm90_support(int capability, std::string_view built, bool has_tensor_maps);

// Why those kernels do not run on an architecture; empty where they do.
std::string why_no_sm90(const Architecture& architecture);

// Why kernels that were built for `built` cannot run on a GPU of this capability, and what to do
// about it; empty where they can.
std::string why_not_built_for(int capability, std::string_view built);

}  // namespace per_step_dense
