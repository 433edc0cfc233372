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
  ReadyQueue(Order order, Random& random) : order_(order), random_(random) {}

  // To be called once, before all else.
  void start(size_t warps);

  bool empty() const { return ready_words_ == 0; }

  // `lanes` is a mask.
  void push(size_t warp, uint32_t lanes) {
    const size_t rank = rank_of_warp_[warp];
    ready_lanes_[rank] |= lanes;
    mark(rank);
  }

  // A thread by its number in the cluster.
  size_t pop() {
    if (order_ == Order::kPriorities && random_.one_in(kSwitchesPerPriorityChange)) {
      shuffle_priorities();
    }
    const bool is_random = order_ == Order::kRandom;
    const size_t rank = is_random ? any_ready_rank() : first_ready_rank();
    uint32_t& lanes = ready_lanes_[rank];
    const unsigned lane = is_random                      ? any_bit(lanes)
                          : order_ == Order::kDescending ? highest_bit(lanes)
                                                         : lowest_bit(lanes);
    lanes &= ~(1u << lane);
    if (lanes == 0) unmark(rank);
    return size_t{warp_of_rank_[rank]} * 32 + lane;
  }

 private:
  static constexpr size_t kWordBits = 32;
  static constexpr size_t kMostWords = 8;
  static constexpr size_t kMostWarps = kMostWords * kWordBits;  // of eight blocks
  static constexpr size_t kSwitchesPerPriorityChange = 1024;

  static unsigned lowest_bit(uint32_t bits) { return static_cast<unsigned>(__builtin_ctz(bits)); }
  static unsigned highest_bit(uint32_t bits) {
    return 31u - static_cast<unsigned>(__builtin_clz(bits));
  }
  unsigned any_bit(uint32_t bits);

  void mark(size_t rank) {
    ready_ranks_[rank / kWordBits] |= 1u << rank % kWordBits;
    ready_words_ |= 1u << rank / kWordBits;
  }
  void unmark(size_t rank) {
    uint32_t& word = ready_ranks_[rank / kWordBits];
    word &= ~(1u << rank % kWordBits);
    if (word == 0) ready_words_ &= ~(1u << rank / kWordBits);
  }
  size_t first_ready_rank() const {
    const size_t word = lowest_bit(ready_words_);
    return word * kWordBits + lowest_bit(ready_ranks_[word]);
  }
  size_t any_ready_rank();
  void shuffle_priorities();

  Order order_;
  Random& random_;
  size_t warps_ = 0;
  // Ranks order the warps by urgency: 0 is the most urgent one.
  uint32_t ready_words_ = 0;  // which words of ready_ranks_ are not zero
  std::array<uint32_t, kMostWords> ready_ranks_{};
  std::array<uint32_t, kMostWarps> ready_lanes_{};  // by rank
  std::array<uint16_t, kMostWarps> warp_of_rank_{};
  std::array<uint16_t, kMostWarps> rank_of_warp_{};
};

}  // namespace emulator
