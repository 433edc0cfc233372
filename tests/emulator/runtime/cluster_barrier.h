// barrier.cluster: all threads of all blocks of a cluster arrive, and each waits for the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

struct Thread;

class ClusterBarrier {
 public:
  explicit ClusterBarrier(size_t threads) : live_threads_(threads) {}

  void arrive(Thread& thread);
  void wait(Thread& thread);

  // It waits for those alone that have not exited.
  void thread_exited();

 private:
  void complete_if_full();

  size_t live_threads_;
  size_t arrived_ = 0;
  uint64_t phase_ = 0;
  std::vector<Thread*> waiters_;
  char orders_[2] = {};  // the race detector's tokens of an even and an odd phase
};

}  // namespace emulator
