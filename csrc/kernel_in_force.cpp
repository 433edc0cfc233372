#include "kernel_in_force.h"

#include <c10/util/Exception.h>

#include <sstream>
#include <utility>

namespace per_step_dense {
namespace {

thread_local KernelFamily in_force = KernelFamily::kAuto;

}  // namespace

std::string text_of(KernelFamily family) {
  if (family == KernelFamily::kBatchInvariant) return "batch_invariant()";
  return std::string("use_kernel('") + name_of(family) + "')";
}

KernelFamily parse_kernel(std::string_view name) {
  for (const KernelFamily family : kNamedFamilies) {
    if (name == name_of(family)) return family;
  }
  std::ostringstream known;
  for (const KernelFamily family : kNamedFamilies) {
    known << (family == kNamedFamilies[0] ? "" : ", ") << name_of(family);
  }
  TORCH_CHECK_VALUE(false, "per_step_dense: kernel must be one of ", known.str(), "; got '", name,
                    "'");
}

KernelFamily kernel_in_force() { return in_force; }

KernelFamily exchange_kernel_in_force(KernelFamily family) {
  return std::exchange(in_force, family);
}

}  // namespace per_step_dense
