#include "runtime/driver.h"

#include <cuda_runtime_api.h>

#include <cstring>

namespace emulator {

Driver& this_driver() {
  static Driver driver;
  return driver;
}

}  // namespace emulator

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function,
                                             unsigned int version, unsigned long long flags,
                                             cudaDriverEntryPointQueryResult* result) {
  constexpr unsigned kFirstVersion = 12000;  // with tensor maps
  if (symbol == nullptr || function == nullptr || flags != cudaEnableDefault) {
    return cudaErrorInvalidValue;
  }
  const bool is_known =
      std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0 && emulator::this_driver().has_encoder;
  const auto found = !is_known                 ? cudaDriverEntryPointSymbolNotFound
                     : version < kFirstVersion ? cudaDriverEntryPointVersionNotSufficent
                                               : cudaDriverEntryPointSuccess;
  const bool is_found = found == cudaDriverEntryPointSuccess;
  *function = is_found ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  if (result != nullptr) *result = found;
  return cudaSuccess;
}
