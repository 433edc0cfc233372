// The block's sixteen barriers: __syncthreads(), bar.sync and bar.arrive.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace emulator {

struct Thread;

class NamedBarriers {
 public:
  // `threads` of 0 stands for every thread that has not exited, as in __syncthreads().
  void sync(int barrier, int threads, const char* place);
  void arrive(int barrier, int threads);

  // A thread that exits may be the last that a __syncthreads() still counted.
  void thread_exited();

 private:
  struct Barrier {
    int expected = 0;  // of the round that is open; 0 for all live threads
    int arrived = 0;
    const char* place = "";
    std::vector<Thread*> waiters;
    uint64_t round = 0;
    char orders[2] = {};  // the race detector's tokens of an even and an odd round
  };

  Barrier& enter(int barrier, int threads, const char* place);
  static void complete_if_full(Barrier& barrier);

  std::array<Barrier, 16> barriers_;
};

}  // namespace emulator
