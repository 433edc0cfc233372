#include "runtime/named_barrier.h"

#include <cstring>

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {

NamedBarriers::Barrier& NamedBarriers::enter(int number, int threads, const char* place) {
  if (number < 0 || number > 15) fail("barrier", "there is no barrier %d", number);
  if (threads < 0 || threads % 32 != 0) {
    fail("barrier", "barrier %d: a count of %d threads is not a multiple of 32", number, threads);
  }
  Barrier& barrier = barriers_[static_cast<size_t>(number)];
  if (barrier.arrived == 0) {
    barrier.expected = threads;
    barrier.place = place;
  } else if (barrier.expected != threads) {
    fail("barrier", "barrier %d: thread %u expects %d threads, others expect %d (0 is all)", number,
         this_thread().linear, threads, barrier.expected);
  } else if (barrier.place != place && std::strcmp(barrier.place, place) != 0) {
    fail("barrier", "thread %u is at the __syncthreads() of %s while others wait at that of %s",
         this_thread().linear, place, barrier.place);
  }
  race_detector::release(&barrier.orders[barrier.round & 1]);
  ++barrier.arrived;
  return barrier;
}

void NamedBarriers::complete_if_full(Barrier& barrier) {
  const int expected =
      barrier.expected == 0 ? static_cast<int>(this_block().live_threads) : barrier.expected;
  if (barrier.arrived == 0 || barrier.arrived < expected) return;
  barrier.arrived = 0;
  ++barrier.round;
  this_cluster().wake(barrier.waiters);
}

void NamedBarriers::sync(int number, int threads, const char* place) {
  Barrier& barrier = enter(number, threads, place);
  const uint64_t round = barrier.round;
  complete_if_full(barrier);
  if (barrier.round == round) {
    barrier.waiters.push_back(&this_thread());
    this_cluster().wait(WaitReason::Kind::kBarrier, place, static_cast<uint32_t>(number), 0);
  }
  race_detector::acquire(&barrier.orders[round & 1]);
}

void NamedBarriers::arrive(int number, int threads) {
  if (threads == 0) fail("barrier", "bar.arrive needs a thread count");
  complete_if_full(enter(number, threads, ""));
}

void NamedBarriers::thread_exited() {
  for (Barrier& barrier : barriers_) {
    if (barrier.expected == 0) complete_if_full(barrier);
  }
}

void sync_threads(const char* place) { this_block().barriers.sync(0, 0, place); }
void named_barrier_sync(int barrier, int threads) {
  this_block().barriers.sync(barrier, threads, "");
}
void named_barrier_arrive(int barrier, int threads) {
  this_block().barriers.arrive(barrier, threads);
}

}  // namespace emulator
