// Whose turn it is to multiply, where two consumers take every second tile.
//
// A consumer begins when the other has asked for all of its products. That leaves the tensor cores
// to one of them; and without it a consumer could wait for a stage whose bytes for the other, a
// round before, are still on their way: parities tell two neighbouring rounds apart, not three.
#pragma once

#include "kernels/ptx_sm90.cuh"
#include "kernels/sm90/config.cuh"

namespace per_step_dense::sm90 {

// Named barriers, of each consumer: among its own threads, and for its turn.
__device__ __forceinline__ int barrier_of_consumer(int consumer) { return 1 + consumer; }
__device__ __forceinline__ int barrier_of_turn(int consumer) { return 3 + consumer; }

template <class Config>
class Turns {
 public:
  __device__ __forceinline__ explicit Turns(int consumer) : consumer_(consumer) {}

  // Whether the block's tile of that number is this consumer's.
  __device__ __forceinline__ bool is_own(int number) const {
    return !Config::kPingpong || number % 2 == consumer_;
  }

  // The first tile is the first consumer's.
  __device__ __forceinline__ void begin() const {
    if (consumer_ == 1) pass_on();
  }
  __device__ __forceinline__ void wait() const {
    if constexpr (Config::kPingpong) ptx::bar_sync(barrier_of_turn(consumer_), kThreads);
  }
  __device__ __forceinline__ void pass_on() const {
    if constexpr (Config::kPingpong) ptx::bar_arrive(barrier_of_turn(1 - consumer_), kThreads);
  }

 private:
  static constexpr int kThreads = 2 * kWarpgroupThreads;

  int consumer_;
};

}  // namespace per_step_dense::sm90
