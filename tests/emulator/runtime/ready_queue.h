// The threads that can run, and the schedule's choice among them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/random.h"
#include "runtime/schedule.h"

namespace emulator {

// Inline, since every switch between threads goes through here.
class ReadyQueue {
 public:
  ReadyQueue(Order order, size_t warps, Random& random);

  bool empty() const { return ready_ranks_ == 0; }

  // `lanes` is a mask.
  void push(size_t warp, uint32_t lanes) {
    const size_t rank = rank_of_warp_[warp];
    ready_lanes_[rank] |= lanes;
    ready_ranks_ |= 1u << rank;
  }

  // A thread by its number in the block.
  size_t pop() {
    if (order_ == Order::kPriorities && random_.one_in(kSwitchesPerPriorityChange)) {
      shuffle_priorities();
    }
    const bool is_random = order_ == Order::kRandom;
    const unsigned rank = is_random ? any_bit(ready_ranks_) : lowest_bit(ready_ranks_);
    uint32_t& lanes = ready_lanes_[rank];
    const unsigned lane = is_random                      ? any_bit(lanes)
                          : order_ == Order::kDescending ? highest_bit(lanes)
                                                         : lowest_bit(lanes);
    lanes &= ~(1u << lane);
    if (lanes == 0) ready_ranks_ &= ~(1u << rank);
    return warp_of_rank_[rank] * 32 + lane;
  }

 private:
  static constexpr size_t kMostWarps = 32;
  static constexpr size_t kSwitchesPerPriorityChange = 1024;

  static unsigned lowest_bit(uint32_t bits) { return static_cast<unsigned>(__builtin_ctz(bits)); }
  static unsigned highest_bit(uint32_t bits) {
    return 31u - static_cast<unsigned>(__builtin_clz(bits));
  }
  unsigned any_bit(uint32_t bits);
  void shuffle_priorities();

  Order order_;
  Random& random_;
  size_t warps_;
  // Ranks order the warps by urgency: 0 is the most urgent one.
  uint32_t ready_ranks_ = 0;
  std::array<uint32_t, kMostWarps> ready_lanes_{};  // by rank
  std::array<size_t, kMostWarps> warp_of_rank_{};
  std::array<size_t, kMostWarps> rank_of_warp_{};
};

}  // namespace emulator
