// Which kernel computes a problem: a pure function of the problem and the architecture.
//
// Every family and tile that can take the problem is given an estimate by the cost model, and the
// least wins. How a sum is split depends on the shape and the tile alone, so that a tile gives the
// same bits on every GPU.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "architecture.h"
#include "choice.h"
#include "kernels/launch_shape.h"
#include "kernels/tensor_cores.h"
#include "problem.h"

namespace per_step_dense {

// The family whose sums have one order for a dtype, whatever the batch size, the strides and the
// tile, as long as none is split.
constexpr KernelFamily batch_invariant_family(DType dtype) {
  return have_tensor_cores(dtype) ? KernelFamily::kSm80 : KernelFamily::kSimt;
}

// What a choice must be; the rest is free.
struct Constraint {
  // Any but kAuto leaves no other; kBatchInvariant leaves the one above, and keeps it from
  // splitting what is not a sum over the batch.
  KernelFamily family = KernelFamily::kAuto;
  int32_t tile = -1;                      // an index into the family's tiles; -1: any
  int32_t splits[kMaxProducts] = {0, 0};  // by Product; 0: any
};

// Where nothing satisfies the constraint, the family is kAten; why_not() says what is in the way.
Choice choose_kernel(const ForwardProblem& problem, const Architecture& architecture,
                     const Constraint& constraint = {});
Choice choose_kernel(const BackwardProblem& problem, const Architecture& architecture,
                     const Constraint& constraint = {});

// Whether one launch for each product should take less than one for both: where no kernel does both
// well. Never where only one is wanted.
bool is_faster_apart(const BackwardProblem& problem, const Architecture& architecture);

// Why a family cannot take a problem, such as "I * O = 262144 > 4096"; empty where it can.
std::string why_not(const ForwardProblem& problem, KernelFamily family,
                    const Architecture& architecture);
std::string why_not(const BackwardProblem& problem, KernelFamily family,
                    const Architecture& architecture);

// What was weighed, and what came of it, in one line.
std::string reason_for_choice(const ForwardProblem& problem, const Architecture& architecture,
                              const Constraint& constraint = {});
std::string reason_for_choice(const BackwardProblem& problem, const Architecture& architecture,
                              const Constraint& constraint = {});

enum class Pass { kForward, kBackward };
template <class Problem>
inline constexpr Pass kPassOf =
    std::is_same_v<Problem, ForwardProblem> ? Pass::kForward : Pass::kBackward;

// How many tiles a family was compiled with for a dtype, and what they are called: "128x128"; where
// a backward cuts the gradient of weight otherwise than that of x, "16x128+64x128"; by a cluster of
// two blocks, "2x128x256".
int tile_count(KernelFamily family, DType dtype);
std::string tile_name(KernelFamily family, int tile, DType dtype, Pass pass = Pass::kForward);

// Of a tile's pipeline, in a backward that of the gradient of x; 0 where there is none.
int stages_of(KernelFamily family, int tile, DType dtype);

// What a choice comes to; for kAten only the number of launches is known.
LaunchPlan plan_of(const ForwardProblem& problem, const Choice& choice);
LaunchPlan plan_of(const BackwardProblem& problem, const Choice& choice);

}  // namespace per_step_dense
