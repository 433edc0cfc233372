// The threads that can run, and the schedule's choice among them.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/random.h"
#include "runtime/schedule.h"

namespace emulator {

struct Thread;

class ReadyQueue {
 public:
  ReadyQueue(Order order, size_t warps, Random& random);

  bool empty() const { return size_ == 0; }
  void push(Thread* thread);
  Thread* pop();

 private:
  struct WarpQueue {
    std::vector<Thread*> threads;
    size_t head = 0;

    bool empty() const { return head == threads.size(); }
  };

  void shuffle_priorities();

  Order order_;
  Random& random_;
  std::vector<WarpQueue> warps_;
  std::vector<size_t> priority_;  // warp indices, the most urgent first
  size_t size_ = 0;
};

}  // namespace emulator
