#include "runtime/cluster_barrier.h"

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {

void ClusterBarrier::complete_if_full() {
  if (arrived_ == 0 || arrived_ < live_threads_) return;
  arrived_ = 0;
  ++phase_;
  this_cluster().wake(waiters_);
}

void ClusterBarrier::arrive(Thread& thread) {
  if (thread.has_arrived_at_cluster) {
    fail("cluster", "barrier.cluster.arrive: a second one without a barrier.cluster.wait between");
  }
  thread.has_arrived_at_cluster = true;
  thread.cluster_phase = phase_;
  race_detector::release(&orders_[phase_ & 1]);
  ++arrived_;
  complete_if_full();
}

void ClusterBarrier::wait(Thread& thread) {
  if (!thread.has_arrived_at_cluster) {
    fail("cluster", "barrier.cluster.wait without a barrier.cluster.arrive before it");
  }
  const uint64_t phase = thread.cluster_phase;
  if (phase_ == phase) {
    waiters_.push_back(&thread);
    this_cluster().wait(WaitReason::Kind::kClusterBarrier, "", 0, 0);
  }
  thread.has_arrived_at_cluster = false;
  race_detector::acquire(&orders_[phase & 1]);
}

void ClusterBarrier::thread_exited() {
  --live_threads_;
  complete_if_full();
}

void barrier_cluster_arrive() { this_cluster().barrier.arrive(this_thread()); }
void barrier_cluster_wait() { this_cluster().barrier.wait(this_thread()); }

}  // namespace emulator
