// What measurements and tests ask for beyond a family: one of its tiles, and how sums are split.
#pragma once

#include <cstdint>

#include "choice.h"
#include "choose_kernel.h"

namespace per_step_dense {

struct ForcedTile {
  int32_t tile = -1;                      // index into the tiles of the family asked for; -1: any
  int32_t splits[kMaxProducts] = {0, 0};  // by Product; 0: as the chooser splits

  bool is_forced() const { return tile >= 0; }
};

// The calling thread's. A backward that autograd runs is on another thread: call the op.
const ForcedTile& forced_tile();

// Returns what was forced before.
ForcedTile exchange_forced_tile(const ForcedTile& forced);

// backward_family(), but a forced tile is of the family that was asked for.
KernelFamily family_of_backward(KernelFamily family, DType dtype);

Constraint constraint_of(KernelFamily family, const ForcedTile& forced);

// That the choice is what was forced: a ValueError where the family has no such tile for the
// problem, or where no family was asked for.
void check_has_tile(const Choice& choice, const Constraint& constraint);

}  // namespace per_step_dense
