// One thread block while it runs: its threads, its memory, its engines, and who runs next.
#pragma once

#include <vector>

#include "runtime/device.h"
#include "runtime/mbarrier.h"
#include "runtime/named_barrier.h"
#include "runtime/random.h"
#include "runtime/ready_queue.h"
#include "runtime/report.h"
#include "runtime/schedule.h"
#include "runtime/shared_memory.h"
#include "runtime/thread.h"
#include "runtime/tma.h"
#include "runtime/warp.h"

namespace emulator {

class Block {
 public:
  Block(const Schedule& schedule, const LaunchRequest& request, uint3 index, uint64_t seed,
        Report& report);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

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
  void wake(const Warp& warp, uint32_t lanes) { ready_.push(warp.index, lanes); }

  // Whether work that was issued now is also done now.
  bool does_now(Timing timing) {
    return timing == Timing::kEager || (timing == Timing::kRandom && random.one_in(2));
  }

  // To be called by an engine that has accessed memory: the next block reuses it.
  void order_before_next_block() const { race_detector::release(&exited_); }

  void record_failure(const char* kind, const char* message);

  const Schedule schedule;
  const LaunchRequest request;
  const uint3 index;
  Report& report;
  Random random;

  std::vector<Thread> threads;
  std::vector<Warp> warps;
  size_t live_threads = 0;

  SharedMemory shared;
  NamedBarriers barriers;
  Mbarriers mbarriers;
  TmaLoads tma_loads;

 private:
  static void thread_main();
  void schedule_until_done();

  Thread& take_ready_thread() {
    running_thread = &threads[ready_.pop()];
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
  void check_at_end();
  void order_abandoned_threads();
  void fail_as_deadlock();

  ReadyQueue ready_;
  bool failed_ = false;
  // Tokens that order the launch before every thread and every thread before the launch's end.
  char started_ = 0;
  char exited_ = 0;
};

// The block that runs now. Blocks run one after another.
[[gnu::visibility("hidden")]] extern Block* running_block;

// The same, for what only a kernel may call.
inline Block& this_block() {
  if (running_block == nullptr) abort_outside_kernel();
  return *running_block;
}

}  // namespace emulator
