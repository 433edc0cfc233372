// The products a tile kernel can be compiled for, as flags. Pure host code.
#pragma once

namespace per_step_dense::tiled {

// How an operand's tile lies in shared memory, which is how its matrix usually lies in global
// memory: along k, or along its rows (m of A, n of B).
enum class Major { kK, kRow };

// Only the forward has a bias, a pre-activation and an activation; only what sums over rows is
// added to what is there, and has terms that differ by step where rows do.
struct Forward {
  static constexpr Major kMajorA = Major::kK, kMajorB = Major::kRow;
  static constexpr bool kActivates = true, kSumsRows = false;
};
struct GradInput {
  static constexpr Major kMajorA = Major::kK, kMajorB = Major::kK;
  static constexpr bool kActivates = false, kSumsRows = false;
};
struct GradWeight {
  static constexpr Major kMajorA = Major::kRow, kMajorB = Major::kRow;
  static constexpr bool kActivates = false, kSumsRows = true;
};

}  // namespace per_step_dense::tiled
