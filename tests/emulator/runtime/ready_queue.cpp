#include "runtime/ready_queue.h"

#include <utility>

#ifdef __BMI2__
#include <immintrin.h>
#endif

namespace emulator {
namespace {

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
  const auto count = static_cast<size_t>(__builtin_popcount(bits));
  return lowest_bit(nth_bit(bits, random_.below(count)));
}

ReadyQueue::ReadyQueue(Order order, size_t warps, Random& random)
    : order_(order), random_(random), warps_(warps) {
  for (size_t rank = 0; rank < warps; ++rank) {
    warp_of_rank_[rank] = order == Order::kDescending ? warps - 1 - rank : rank;
    rank_of_warp_[warp_of_rank_[rank]] = rank;
  }
  if (order == Order::kPriorities) shuffle_priorities();
}

void ReadyQueue::shuffle_priorities() {
  for (size_t last = warps_; last > 1; --last) {
    const size_t other = random_.below(last);
    std::swap(warp_of_rank_[last - 1], warp_of_rank_[other]);
    std::swap(ready_lanes_[last - 1], ready_lanes_[other]);
  }
  ready_ranks_ = 0;
  for (size_t rank = 0; rank < warps_; ++rank) {
    rank_of_warp_[warp_of_rank_[rank]] = rank;
    if (ready_lanes_[rank] != 0) ready_ranks_ |= 1u << rank;
  }
}

}  // namespace emulator
