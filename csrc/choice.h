// What the chooser decides about a call, in plain numbers: which family of kernels, which of its
// compiled tiles, between how many blocks a sum is split, and how many multiprocessors there are.
#pragma once

#include <cstdint>

namespace per_step_dense {

enum class KernelFamily : int32_t {
  kAuto,            // as a wish: let the chooser decide
  kReference,       // the einsum composite
  kBatchInvariant,  // as a wish: what no result's dependence on the batch size follows from
  kAten,            // ATen's batched products: CPU, and what no kernel of this package does better
  kSimt,
  kTiny,
  kSm80,
  kSm90,
};

// Indexed by KernelFamily.
inline constexpr const char* kKernelFamilyNames[] = {
    "auto", "reference", "batch_invariant", "aten", "simt", "tiny", "sm80", "sm90"};

constexpr const char* name_of(KernelFamily family) {
  return kKernelFamilyNames[static_cast<int32_t>(family)];
}

// The products of a problem, as indices: a forward has one, a backward up to two.
enum Product : int32_t { kForward = 0, kGradInput = 0, kGradWeight = 1, kMaxProducts = 2 };

struct Choice {
  KernelFamily family = KernelFamily::kAten;
  int32_t tile = 0;                       // index into the family's list of tiles
  int32_t splits[kMaxProducts] = {1, 1};  // by Product: blocks that share one sum over k
  int32_t sms = 0;                        // what a persistent grid fills; no other kernel asks
};

}  // namespace per_step_dense
