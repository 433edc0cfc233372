#include "architecture.h"

#include <algorithm>
#include <charconv>

namespace per_step_dense {
namespace {

// Data sheets' figures, dense and without boost beyond what they name; shared memory as the
// programming guide's table of compute capabilities has it.
struct NominalDevice {
  const char* name;
  int capability;
  int sms;
  double clock_hz;
  double bandwidth;
  double fp32_flops, fp64_flops, tensor_fp64_flops, tensor_16bit_flops, tensor_tf32_flops;
  double mma_sync_share;
  int smem_kib_per_sm;
};

constexpr int kWgmmaCapability = 90;

// mma.sync is all that sm_80, 86, 89 and 120 have. Beside Hopper's wgmma it reaches 62 to 65 %;
// beside Blackwell's tcgen05, 30 % is a guess, to be measured.
constexpr double kAll = 1, kBesideWgmma = 0.62, kBesideTcgen05 = 0.3;

constexpr NominalDevice kNominalDevices[] = {
    // A100 SXM 80 GB, data sheet of 2021
    {"sm_80", 80, 108, 1.410e9, 2.039e12, 19.5e12, 9.7e12, 19.5e12, 312e12, 156e12, kAll, 164},
    // A40; float64 at 1/64 of float32
    {"sm_86", 86, 84, 1.740e9, 0.696e12, 37.4e12, 0.58e12, 0.58e12, 150e12, 74.8e12, kAll, 100},
    // L40S; float64 at 1/64 of float32
    {"sm_89", 89, 142, 2.520e9, 0.864e12, 91.6e12, 1.43e12, 1.43e12, 362e12, 183e12, kAll, 100},
    // H200 SXM
    {"sm_90", 90, 132, 1.980e9, 4.8e12, 67e12, 33.5e12, 67e12, 989e12, 494e12, kBesideWgmma, 228},
    // B200
    {"sm_100", 100, 148, 1.965e9, 8.0e12, 80e12, 40e12, 40e12, 2250e12, 1100e12, kBesideTcgen05,
     228},
    // RTX 5090; float64 at 1/64 of float32
    {"sm_120", 120, 170, 2.407e9, 1.792e12, 104.8e12, 1.64e12, 1.64e12, 209.5e12, 104.8e12, kAll,
     100},
};

// What is reached of the nominal rates, from the H200: 4.3 TB/s by a copy and 790 TFLOP/s of
// bfloat16 through cuBLAS were measured; 1.7 GHz under load, 400 TFLOP/s of tfloat32, 55 of float32
// and 60 of float64 are assumed.
constexpr double kReachedBandwidth = 4.3 / 4.8;
constexpr double kReachedClock = 1.7 / 1.98;
constexpr double kReachedFp32 = 55.0 / 67, kReachedFp64 = 27.5 / 33.5;
constexpr double kReachedTensorFp64 = 60.0 / 67, kReachedTensor16 = 790.0 / 989;
constexpr double kReachedTensorTf32 = 400.0 / 494;

// DeepGEMM's heuristics take 8 TB/s for the 132 SMs of an H100.
constexpr double kL2BandwidthPerSm = 8e12 / 132;

Sm90Support sm90_support(int capability) {
  return capability == kWgmmaCapability ? Sm90Support::kRuns : Sm90Support::kOtherCapability;
}

Architecture sustained(const NominalDevice& device) {
  return {device.capability,
          device.sms,
          device.clock_hz * kReachedClock,
          device.bandwidth * kReachedBandwidth,
          device.sms * kL2BandwidthPerSm,
          device.fp32_flops * kReachedFp32,
          device.fp64_flops * kReachedFp64,
          device.tensor_fp64_flops * kReachedTensorFp64,
          device.tensor_16bit_flops * kReachedTensor16,
          device.tensor_tf32_flops * kReachedTensorTf32,
          device.mma_sync_share,
          int64_t{device.smem_kib_per_sm} * 1024,
          sm90_support(device.capability)};
}

const NominalDevice& nearest_nominal_device(int capability) {
  const NominalDevice* nearest = &kNominalDevices[0];
  for (const NominalDevice& device : kNominalDevices) {
    if (device.capability <= capability) nearest = &device;
  }
  return *nearest;
}

// One entry of TORCH_CUDA_ARCH_LIST: "8.0", "8.0+PTX", "9.0a", "10.0f".
struct BuiltTarget {
  int capability = 0;
  char suffix = ' ';  // a: this capability alone; f: this and later ones of the same major
  bool has_ptx = false;
};

BuiltTarget parse_target(std::string_view text) {
  BuiltTarget target;
  constexpr std::string_view kPtx = "+PTX";
  if (text.size() > kPtx.size() && text.substr(text.size() - kPtx.size()) == kPtx) {
    target.has_ptx = true;
    text.remove_suffix(kPtx.size());
  }
  if (!text.empty() && (text.back() == 'a' || text.back() == 'f')) {
    target.suffix = text.back();
    text.remove_suffix(1);
  }
  int16_t major = 0, minor = 0;  // no more than the sum has room for
  const char* const end = text.data() + text.size();
  const auto [dot, error] = std::from_chars(text.data(), end, major);
  if (error == std::errc() && dot < end) std::from_chars(dot + 1, end, minor);
  target.capability = major * 10 + minor;
  return target;
}

// Machine code runs on later minor versions of its major one; PTX is compiled for anything later.
bool runs_on(const BuiltTarget& target, int capability) {
  if (target.suffix == 'a') return target.capability == capability;
  if (target.capability > capability) return false;
  return target.capability / 10 == capability / 10 || (target.has_ptx && target.suffix == ' ');
}

// Whether one of the targets in `built` is such that is_wanted(target).
template <class IsWanted>
bool is_any_target(std::string_view built, IsWanted&& is_wanted) {
  while (!built.empty()) {
    const size_t length = std::min(built.find_first_of("; "), built.size());
    if (length > 0 && is_wanted(parse_target(built.substr(0, length)))) return true;
    built.remove_prefix(std::min(length + 1, built.size()));
  }
  return false;
}

bool is_built_for(int capability, std::string_view built) {
  return is_any_target(built, [=](const BuiltTarget& t) { return runs_on(t, capability); });
}

}  // namespace

bool find_architecture(std::string_view name, Architecture& architecture) {
  if (name == "sm_90a") name = "sm_90";
  for (const NominalDevice& device : kNominalDevices) {
    if (name != device.name) continue;
    architecture = sustained(device);
    return true;
  }
  return false;
}

std::string known_architectures() {
  std::string names;
  for (const NominalDevice& device : kNominalDevices) {
    names += (names.empty() ? "" : ", ") + std::string(device.name);
  }
  return names;
}

Architecture architecture_of(const DeviceFigures& device) {
  const NominalDevice& nominal = nearest_nominal_device(device.capability);
  Architecture architecture = sustained(nominal);
  const double compute = device.sms * device.clock_hz / (nominal.sms * nominal.clock_hz);
  architecture.capability = device.capability;
  architecture.sm90 = sm90_support(device.capability);
  architecture.sms = device.sms;
  architecture.clock_hz = device.clock_hz * kReachedClock;
  architecture.l2_bandwidth = device.sms * kL2BandwidthPerSm;
  architecture.fp32_flops *= compute;
  architecture.fp64_flops *= compute;
  architecture.tensor_fp64_flops *= compute;
  architecture.tensor_16bit_flops *= compute;
  architecture.tensor_tf32_flops *= compute;
  // Two transfers a clock. A driver that keeps the clock to itself says 0.
  const double bandwidth = 2 * device.memory_clock_hz * device.memory_bus_bits / 8;
  if (bandwidth > 0) architecture.bandwidth = bandwidth * kReachedBandwidth;
  return architecture;
}

std::string name_of(const Architecture& architecture) {
  return "sm_" + std::to_string(architecture.capability);
}

Sm90Support sm90_support(int capability, std::string_view built, bool has_tensor_maps) {
  const Sm90Support nominal = sm90_support(capability);
  if (nominal != Sm90Support::kRuns) return nominal;
  const bool is_built = is_any_target(built, [](const BuiltTarget& target) {
    return target.capability == kWgmmaCapability && target.suffix == 'a';
  });
  if (!is_built) return Sm90Support::kNotBuilt;
  return has_tensor_maps ? Sm90Support::kRuns : Sm90Support::kNoTensorMaps;
}

std::string why_no_sm90(const Architecture& architecture) {
  switch (architecture.sm90) {
    case Sm90Support::kRuns:
      break;
    case Sm90Support::kOtherCapability:
      return "sm90 needs compute capability 9.0; this is " + name_of(architecture);
    case Sm90Support::kNotBuilt:
      return "sm90 needs a module built for 9.0a";
    case Sm90Support::kNoTensorMaps:
      return "sm90 needs a driver that encodes tensor maps (of CUDA 12.0 or later)";
  }
  return "";
}

std::string why_not_built_for(int capability, std::string_view built) {
  if (capability >= kLeastCapability && is_built_for(capability, built)) return "";
  const std::string version =
      std::to_string(capability / 10) + "." + std::to_string(capability % 10);
  const std::string rebuild =
      "TORCH_CUDA_ARCH_LIST=\"" + version + "\" pip install --no-build-isolation .";
  const std::string text = "no kernel here runs on compute capability " + version + " (sm_" +
                           std::to_string(capability) + "): this module was built for " +
                           std::string(built) + "; use_kernel(\"reference\") works on every GPU. ";
  if (capability >= kLeastCapability) return text + "To rebuild, in the checkout: " + rebuild;
  return text + "The kernels need sm_80 or later: a rebuild (" + rebuild + ") would not help";
}

}  // namespace per_step_dense
