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
  void wait(const WaitReason& reason);
  void make_ready(Thread* thread);
  // Empties `waiters`.
  void wake(std::vector<Thread*>& waiters);

  // Whether work that was issued now is also done now.
  bool does_now(Timing timing) {
    return timing == Timing::kEager || (timing == Timing::kRandom && random.one_in(2));
  }

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
Block& this_block();

}  // namespace emulator
