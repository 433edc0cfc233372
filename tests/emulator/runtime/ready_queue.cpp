#include "runtime/ready_queue.h"

#include <utility>

#ifdef __BMI2__
#include <immintrin.h>
#endif

namespace emulator {
namespace {

unsigned count_bits(uint32_t bits) { return static_cast<unsigned>(__builtin_popcount(bits)); }

uint32_t nth_bit(uint32_t bits, size_t n) {
#ifdef __BMI2__
  return _pdep_u32(1u << n, bits);
#else
  for (; n > 0; --n) bits &= bits - 1;
  return bits & -bits;
#endif
}

}  // namespace

unsigned ReadyQueue::any_bit(uint32_t bits) {
  return lowest_bit(nth_bit(bits, random_.below(count_bits(bits))));
}

size_t ReadyQueue::any_ready_rank() {
  size_t count = 0;
  for (uint32_t ranks : ready_ranks_) count += count_bits(ranks);
  size_t skip = random_.below(count);
  size_t word = 0;
  for (; skip >= count_bits(ready_ranks_[word]); ++word) skip -= count_bits(ready_ranks_[word]);
  return word * kWordBits + lowest_bit(nth_bit(ready_ranks_[word], skip));
}

void ReadyQueue::start(size_t warps) {
  warps_ = warps;
  for (size_t rank = 0; rank < warps; ++rank) {
    const size_t warp = order_ == Order::kDescending ? warps - 1 - rank : rank;
    warp_of_rank_[rank] = static_cast<uint16_t>(warp);
    rank_of_warp_[warp] = static_cast<uint16_t>(rank);
  }
  if (order_ == Order::kPriorities) shuffle_priorities();
}

void ReadyQueue::shuffle_priorities() {
  for (size_t last = warps_; last > 1; --last) {
    const size_t other = random_.below(last);
    std::swap(warp_of_rank_[last - 1], warp_of_rank_[other]);
    std::swap(ready_lanes_[last - 1], ready_lanes_[other]);
  }
  ready_ranks_ = {};
  ready_words_ = 0;
  for (size_t rank = 0; rank < warps_; ++rank) {
    rank_of_warp_[warp_of_rank_[rank]] = static_cast<uint16_t>(rank);
    if (ready_lanes_[rank] != 0) mark(rank);
  }
}

}  // namespace emulator
