// The blocks that run together, one where a launch asks for no clusters: who of their threads runs
// next, and what their engines have yet to do.
#pragma once

#include <deque>
#include <vector>

#include "runtime/block.h"
#include "runtime/cluster_barrier.h"
#include "runtime/device.h"
#include "runtime/random.h"
#include "runtime/ready_queue.h"
#include "runtime/report.h"
#include "runtime/schedule.h"
#include "runtime/tma.h"

namespace emulator {

class Cluster {
 public:
  // `first` is the index of the block of rank 0; the others follow along x.
  Cluster(const Schedule& schedule, const LaunchRequest& request, uint3 first, uint64_t seed,
          Report& report);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Runs every thread to its end, or until something fails. Says so in the report.
  void run();

  // Suspends the calling thread until something makes it ready again.
  void wait(WaitReason::Kind kind, const char* what, uint32_t object, uint32_t parity) {
    Thread& thread = this_thread();
    thread.wait.kind = kind;
    thread.wait.what = what;
    thread.wait.object = object;
    thread.wait.parity = parity;
    leave(thread, /*for_ever=*/false);
  }
  // Empties `waiters`.
  void wake(std::vector<Thread*>& waiters);
  void wake(const Warp& warp, uint32_t lanes) { ready_.push(warp.number, lanes); }

  // The block of a rank, for an instruction that reaches into its shared memory.
  Block& reach(uint32_t rank, const char* instruction);

  // Whether work that was issued now is also done now.
  bool does_now(Timing timing) {
    return timing == Timing::kEager || (timing == Timing::kRandom && random.one_in(2));
  }

  // To be called by an engine that has accessed memory: the next cluster reuses it.
  void order_before_next_cluster() const { race_detector::release(&exited_); }

  void record_failure(const char* kind, const char* message);

  const Schedule schedule;
  const LaunchRequest request;
  Report& report;
  Random random;

  std::deque<Block> blocks;  // by rank
  ClusterBarrier barrier;
  TmaLoads tma_loads;

 private:
  static void thread_main();
  void exit(Thread& thread);
  void schedule_until_done();

  Thread& take_ready_thread() {
    const size_t number = ready_.pop();
    running_thread = &warps_[number / kWarpSize]->threads[number % kWarpSize];
    running_block = running_thread->block;
    ++report.counters.switches;
    return *running_thread;
  }

  // Goes on with the next thread at once where the scheduler would do nothing but resume it: a
  // second switch would double the cost.
  void leave(Thread& thread, bool for_ever) {
    if (ready_.empty() || !tma_loads.empty()) {
      thread.fiber.suspend(for_ever);
    } else {
      thread.fiber.switch_to(take_ready_thread().fiber, for_ever);
    }
  }
  void order_abandoned_threads();
  bool has_live_threads() const;
  void fail_as_deadlock();

  std::vector<Warp*> warps_;  // of all blocks, by their number
  ReadyQueue ready_;
  bool failed_ = false;
  // Tokens that order the launch before every thread and every thread before the launch's end.
  char started_ = 0;
  char exited_ = 0;
};

// The cluster that runs now. Clusters run one after another.
[[gnu::visibility("hidden")]] extern Cluster* running_cluster;

// The same, for what only a kernel may call.
inline Cluster& this_cluster() {
  if (running_cluster == nullptr) abort_outside_kernel();
  return *running_cluster;
}

}  // namespace emulator
