#include "runtime/cluster.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "runtime/deadlock.h"
#include "runtime/failure.h"
#include "runtime/session.h"

namespace emulator {

Cluster* running_cluster = nullptr;
Thread* running_thread = nullptr;

void abort_outside_kernel() {
  std::fputs("emulator: a device function was called outside a kernel\n", stderr);
  std::abort();
}

const uint3& thread_index() { return this_thread().index; }

void fail(const char* kind, const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (running_cluster == nullptr) {
    this_session().record_failure(kind, message);
    throw EngineStopped{};
  }
  running_cluster->record_failure(kind, message);
  if (running_thread == nullptr) throw EngineStopped{};
  running_thread->fiber.suspend(/*for_ever=*/true);
  std::abort();
}

void expect(bool holds, const char* what) {
  if (!holds) fail("expectation", "expected: %s", what);
}

Cluster::Cluster(const Schedule& schedule, const LaunchRequest& request, uint3 first, uint64_t seed,
                 Report& report)
    : schedule(schedule),
      request(request),
      report(report),
      random(seed),
      barrier(size_t{request.cluster} * request.block.x * request.block.y * request.block.z),
      ready_(schedule.order, random) {
  running_cluster = this;
  adopt_scheduler_thread();
  for (unsigned rank = 0; rank < request.cluster; ++rank) {
    Block& block =
        blocks.emplace_back(schedule, request, rank, uint3{first.x + rank, first.y, first.z});
    for (Thread& thread : block.threads) {
      thread.fiber.prepare(rank * block.threads.size() + thread.linear, thread_main);
    }
    for (Warp& warp : block.warps) warps_.push_back(&warp);
  }
  ready_.start(warps_.size());
}

Cluster::~Cluster() {
  running_block = nullptr;
  running_cluster = nullptr;
}

void Cluster::run() {
  race_detector::release(&started_);
  for (const Warp* warp : warps_) wake(*warp, kFullMask);
  try {
    schedule_until_done();
  } catch (const EngineStopped&) {
    // An engine's work failed; the failure is recorded.
  }
  order_abandoned_threads();
  for (Block& block : blocks) {
    running_block = &block;
    try {
      check_guards(block);
      if (!failed_) check_at_end(block);
    } catch (const EngineStopped&) {
      // Likewise.
    }
  }
}

void Cluster::schedule_until_done() {
  constexpr size_t kSwitchesPerLanding = 8;
  while (!failed_) {
    const bool may_land = schedule.copies == Timing::kRandom && !tma_loads.empty();
    if (may_land && random.one_in(kSwitchesPerLanding)) tma_loads.perform_any();
    if (!ready_.empty()) {
      take_ready_thread().fiber.resume();
      running_thread = nullptr;
    } else if (!tma_loads.empty()) {
      tma_loads.perform_any();  // lazy engines work once nothing else can happen
    } else {
      if (has_live_threads()) fail_as_deadlock();
      return;
    }
  }
}

bool Cluster::has_live_threads() const {
  return std::any_of(blocks.begin(), blocks.end(),
                     [](const Block& block) { return !block.has_exited(); });
}

void Cluster::fail_as_deadlock() {
  char message[1000];
  describe_deadlock(*this, message, sizeof message);
  running_block = &blocks.front();
  record_failure("deadlock", message);
}

void Cluster::wake(std::vector<Thread*>& waiters) {
  for (const Thread* thread : waiters) wake(*thread->warp, 1u << thread->lane);
  waiters.clear();
}

Block& Cluster::reach(uint32_t rank, const char* instruction) {
  if (rank >= blocks.size()) {
    fail("cluster", "%s: there is no rank %u in a cluster of %zu blocks", instruction, rank,
         blocks.size());
  }
  Block& block = blocks[rank];
  if (block.has_exited()) {
    fail("cluster", "%s: distributed shared memory of a block that has exited, that of rank %u",
         instruction, rank);
  }
  return block;
}

void Cluster::record_failure(const char* kind, const char* message) {
  failed_ = true;
  char located[1100];
  const uint3& index = running_block->index;
  if (running_thread != nullptr) {
    std::snprintf(located, sizeof located, "block (%u, %u, %u), thread %u: %s", index.x, index.y,
                  index.z, running_thread->linear, message);
  } else {
    std::snprintf(located, sizeof located, "block (%u, %u, %u): %s", index.x, index.y, index.z,
                  message);
  }
  this_session().record_failure(kind, located);
}

namespace {

// What a thread must have waited for before it exits.
void check_at_exit(const Thread& thread) {
  if (thread.stores.has_uncommitted()) {
    fail("tma-store", "exits with a bulk store that was never committed");
  }
  if (thread.stores.has_pending()) {
    fail("tma-store",
         "exits before cp.async.bulk.wait_group: shared memory may be gone when the "
         "store reads it");
  }
  if (thread.copies.has_pending())
    fail("cp.async", "exits with a cp.async that was not waited for");
  if (thread.warp->wgmma.has_accumulator_in_flight(thread.lane)) {
    fail("wgmma", "exits with an accumulator that no wgmma.wait_group gave back");
  }
  if (thread.has_arrived_at_cluster) {
    fail("cluster", "exits between barrier.cluster.arrive and barrier.cluster.wait");
  }
}

}  // namespace

void Cluster::thread_main() {
  Fiber::entered();
  Cluster& cluster = this_cluster();
  race_detector::acquire(&cluster.started_);
  cluster.request.run_thread(cluster.request.arguments);
  cluster.exit(this_thread());
  std::abort();
}

void Cluster::exit(Thread& thread) {
  check_at_exit(thread);
  Block& block = *thread.block;
  if (block.live_threads == 1 && tma_loads.has_any_into(block)) {
    fail("cluster", "the block exits while a TMA load into its shared memory is in flight");
  }
  thread.has_exited = true;
  --block.live_threads;
  block.barriers.thread_exited();
  barrier.thread_exited();
  race_detector::release(&exited_);
  leave(thread, /*for_ever=*/true);
}

// The next cluster reuses the fibers' stacks and the shared memory. Whoever was abandoned is
// ordered before that too, or the race detector would see races across clusters.
void Cluster::order_abandoned_threads() {
  if (!race_detector::enabled()) return;
  for (const Warp* warp : warps_) {
    for (unsigned lane = 0; lane < kWarpSize; ++lane) {
      const Thread& thread = warp->threads[lane];
      if (thread.has_exited) continue;
      const race_detector::ActingAs abandoned(thread.fiber.actor());
      race_detector::release(&exited_);
    }
  }
  race_detector::acquire(&exited_);
}

}  // namespace emulator
