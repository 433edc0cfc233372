// Which family of kernels a thread asks for: what use_kernel sets and the ops' `family` overrides.
#pragma once

#include <string>
#include <string_view>

#include "choice.h"
#include "problem.h"

namespace per_step_dense {

// The families that may be asked for by name.
inline constexpr KernelFamily kNamedFamilies[] = {
    KernelFamily::kAuto, KernelFamily::kReference, KernelFamily::kBatchInvariant,
    KernelFamily::kSimt, KernelFamily::kTiny,      KernelFamily::kSm80,
    KernelFamily::kSm90};

// What Python calls the wish, for errors: "use_kernel('simt')", "batch_invariant()".
std::string text_of(KernelFamily family);

// Refuses other names with a ValueError that lists these.
KernelFamily parse_kernel(std::string_view name);

// The calling thread's; kAuto unless something else was set.
KernelFamily kernel_in_force();

// Returns what was in force before.
KernelFamily exchange_kernel_in_force(KernelFamily family);

// What an op's `family` comes to: the family it names, or for "auto" the thread's.
inline KernelFamily resolve_kernel(std::string_view name) {
  const KernelFamily family = parse_kernel(name);
  return family == KernelFamily::kAuto ? kernel_in_force() : family;
}

// Of a backward whose forward's family this is. In tfloat32 sm90 has the gradient of x
// alone: the chooser decides.
constexpr KernelFamily backward_family(KernelFamily family, DType dtype) {
  const bool has_gradients = family != KernelFamily::kSm90 || dtype != DType::kTFloat32;
  return has_gradients ? family : KernelFamily::kAuto;
}

// Puts a family in force while it lives.
class KernelGuard {
 public:
  explicit KernelGuard(KernelFamily family) : before_(exchange_kernel_in_force(family)) {}
  ~KernelGuard() { exchange_kernel_in_force(before_); }
  KernelGuard(const KernelGuard&) = delete;
  KernelGuard& operator=(const KernelGuard&) = delete;

 private:
  KernelFamily before_;
};

}  // namespace per_step_dense
