#include "forced_tile.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <utility>

#include "kernel_in_force.h"

namespace per_step_dense {
namespace {

thread_local ForcedTile in_force;

}  // namespace

const ForcedTile& forced_tile() { return in_force; }

ForcedTile exchange_forced_tile(const ForcedTile& forced) {
  return std::exchange(in_force, forced);
}

KernelFamily family_of_backward(KernelFamily family, DType dtype) {
  return forced_tile().is_forced() ? family : backward_family(family, dtype);
}

Constraint constraint_of(KernelFamily family, const ForcedTile& forced) {
  Constraint constraint;
  constraint.family = family;
  constraint.tile = forced.tile;
  std::copy_n(forced.splits, kMaxProducts, constraint.splits);
  return constraint;
}

void check_has_tile(const Choice& choice, const Constraint& constraint) {
  if (constraint.tile < 0) return;
  TORCH_CHECK_VALUE(constraint.family != KernelFamily::kAuto,
                    "per_step_dense: a tile is forced, but no family");
  TORCH_CHECK_VALUE(choice.family == constraint.family,
                    "per_step_dense: ", name_of(constraint.family), " has no tile ",
                    constraint.tile, " for this call");
}

}  // namespace per_step_dense
