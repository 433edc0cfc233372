#include "device_cuda.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/util/Exception.h>

#include <deque>
#include <mutex>

namespace per_step_dense::cuda {
namespace {

struct KnownDevice {
  std::once_flag is_asked;
  Architecture architecture;
  std::string why_not;  // empty where the kernels run there
};

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&value, name, device));
  return value;
}

void ask(KnownDevice& known, int device) {
  constexpr double kKilo = 1e3;
  DeviceFigures figures;
  figures.capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                       attribute(cudaDevAttrComputeCapabilityMinor, device);
  figures.sms = attribute(cudaDevAttrMultiProcessorCount, device);
  figures.clock_hz = kKilo * attribute(cudaDevAttrClockRate, device);
  figures.memory_clock_hz = kKilo * attribute(cudaDevAttrMemoryClockRate, device);
  figures.memory_bus_bits = attribute(cudaDevAttrGlobalMemoryBusWidth, device);
  known.architecture = architecture_of(figures);
  known.why_not = why_not_built_for(figures.capability, PSD_CUDA_ARCHITECTURES);
}

}  // namespace

const Architecture& architecture_of_device(c10::DeviceIndex device) {
  static std::deque<KnownDevice> devices(c10::cuda::device_count());
  KnownDevice& known = devices.at(device);
  std::call_once(known.is_asked, [&] { ask(known, device); });
  TORCH_CHECK_VALUE(known.why_not.empty(), "per_step_dense: ", known.why_not);
  return known.architecture;
}

}  // namespace per_step_dense::cuda
