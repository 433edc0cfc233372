#include "runtime/ready_queue.h"

#include <algorithm>
#include <numeric>

#include "runtime/thread.h"

namespace emulator {
namespace {

constexpr size_t kSwitchesPerPriorityChange = 1024;

}  // namespace

ReadyQueue::ReadyQueue(Order order, size_t warps, Random& random)
    : order_(order), random_(random), warps_(warps), priority_(warps) {
  std::iota(priority_.begin(), priority_.end(), size_t{0});
  if (order == Order::kDescending) std::reverse(priority_.begin(), priority_.end());
  if (order == Order::kPriorities) shuffle_priorities();
}

void ReadyQueue::push(Thread* thread) {
  warps_[thread->linear / 32].threads.push_back(thread);
  ++size_;
}

Thread* ReadyQueue::pop() {
  const bool changes = order_ == Order::kPriorities && random_.one_in(kSwitchesPerPriorityChange);
  if (order_ == Order::kRandom || changes) shuffle_priorities();

  size_t rank = 0;
  while (warps_[priority_[rank]].empty()) ++rank;
  WarpQueue& warp = warps_[priority_[rank]];

  if (order_ == Order::kRandom) {
    const size_t chosen = warp.head + random_.below(warp.threads.size() - warp.head);
    std::swap(warp.threads[warp.head], warp.threads[chosen]);
  }
  Thread* thread = warp.threads[warp.head++];
  if (warp.empty()) {
    warp.threads.clear();
    warp.head = 0;
  }
  --size_;
  return thread;
}

void ReadyQueue::shuffle_priorities() {
  for (size_t last = priority_.size(); last > 1; --last) {
    std::swap(priority_[last - 1], priority_[random_.below(last)]);
  }
}

}  // namespace emulator
