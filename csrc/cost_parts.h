// The parts of the cost model: what each family makes of a problem. Microseconds.
#pragma once

#include "architecture.h"
#include "choice.h"
#include "kernels/gemm.h"
#include "kernels/launch_shape.h"
#include "kernels/tiled/tiler.h"
#include "problem.h"

namespace per_step_dense::cost {

// What "measured" means in the cost model: bench/results/tiles/h200.json, one run on an H200.

// A kernel in a stream that has nothing to do: of the smallest layer's 4.0 us, what is not a
// block's prologue and epilogue.
inline constexpr double kLaunchUs = 2.4;

// Before a block's first product and after its last, and from asking global memory to having:
// guesses that fit what was measured.
inline constexpr double kPrologueUs = 0.8, kEpilogueUs = 0.8, kLatencyUs = 0.6;

// Of a copy's bandwidth, what the kernels reach. Measured: 0.83 to 0.9.
inline constexpr double kBandwidthShare = 0.9;

inline constexpr double kUs = 1e6;  // microseconds a second

// The products of a problem by Product; one that is not wanted does nothing. Where rows differ by
// step, each is taken to have its share of all.
struct Products {
  Gemm gemm[kMaxProducts];
  tiled::OperandAccesses accesses[kMaxProducts];  // of the families of tiles
};

Products products_of(const ForwardProblem& problem);
Products products_of(const BackwardProblem& problem);

// What the FMA units of one multiprocessor reach, per second.
inline double fma_flops_of_an_sm(DType dtype, const Architecture& architecture) {
  return (dtype == DType::kFloat64 ? architecture.fp64_flops : architecture.fp32_flops) /
         architecture.sms;
}

// What its L1 and shared memory give, in bytes a second: 128 a clock.
inline double l1_bandwidth_of_an_sm(const Architecture& architecture) {
  return 128 * architecture.clock_hz;
}

inline constexpr double kIssuedAClock = 4;  // a warp's instruction a scheduler

// Instructions that an activation takes for a value, roughly: counted in machine code.
double activation_slots(Activation activation, DType dtype);

// A warp's instructions, in time of one multiprocessor.
inline double slots_us(double slots, const Architecture& architecture) {
  return kUs * slots / (kIssuedAClock * architecture.clock_hz);
}

// The longer of the times that multiprocessors and L2 need; launches and global memory come on top.
double simt_us(const Products& products, const Choice& choice, DType dtype,
               const Architecture& architecture);
double sm80_us(const Products& products, const Choice& choice, const LaunchPlan& plan, DType dtype,
               const Architecture& architecture);
double sm90_us(const Products& products, bool is_backward, const Choice& choice,
               const LaunchPlan& plan, DType dtype, const Architecture& architecture);
double tiny_us(const Products& products, const Choice& choice, const LaunchPlan& plan, DType dtype,
               const Architecture& architecture);

// All of what ATen does: a batched product each, then passes for bias, order and activation.
double library_us(const ForwardProblem& problem, const Architecture& architecture);
double library_us(const BackwardProblem& problem, const Architecture& architecture);

}  // namespace per_step_dense::cost
