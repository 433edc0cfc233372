#include "device_cuda.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/util/Exception.h>

#include <deque>
#include <mutex>

#include "kernels/sm90/tensor_map.h"

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
  known.architecture.sm90 =
      sm90_support(figures.capability, PSD_CUDA_ARCHITECTURES, sm90::can_encode_tensor_maps());
  if (known.architecture.sm90 == Sm90Support::kNoTensorMaps) {
    TORCH_WARN_ONCE("per_step_dense: ", why_no_sm90(known.architecture),
                    "; slower kernels take its place until the driver is updated");
  }
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
