#include "runtime/block.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "runtime/deadlock.h"
#include "runtime/failure.h"
#include "runtime/session.h"

namespace emulator {
Block* running_block = nullptr;
Thread* running_thread = nullptr;

void abort_outside_kernel() {
  std::fputs("emulator: a device function was called outside a kernel\n", stderr);
  std::abort();
}

const uint3& thread_index() { return this_thread().index; }
const uint3& block_index() { return this_block().index; }

void fail(const char* kind, const char* format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  if (running_block == nullptr) {
    this_session().record_failure(kind, message);
    throw EngineStopped{};
  }
  running_block->record_failure(kind, message);
  if (running_thread == nullptr) throw EngineStopped{};
  running_thread->fiber.suspend(/*for_ever=*/true);
  std::abort();
}

void expect(bool holds, const char* what) {
  if (!holds) fail("expectation", "expected: %s", what);
}

Block::Block(const Schedule& schedule, const LaunchRequest& request, uint3 index, uint64_t seed,
             Report& report)
    : schedule(schedule),
      request(request),
      index(index),
      report(report),
      random(seed),
      threads(size_t{request.block.x} * request.block.y * request.block.z),
      warps(threads.size() / kWarpSize),
      live_threads(threads.size()),
      shared(request.smem_bytes, schedule.tight_alignment),
      ready_(schedule.order, warps.size(), random) {
  running_block = this;
  adopt_scheduler_thread();
  for (unsigned warp = 0; warp < warps.size(); ++warp) {
    warps[warp].index = warp;
    warps[warp].threads = &threads[warp * kWarpSize];
  }
  for (unsigned linear = 0; linear < threads.size(); ++linear) {
    Thread& thread = threads[linear];
    const dim3& extent = request.block;
    thread.index = {linear % extent.x, linear / extent.x % extent.y, linear / extent.x / extent.y};
    thread.linear = linear;
    thread.lane = linear % kWarpSize;
    thread.warp = &warps[linear / kWarpSize];
    thread.fiber.prepare(linear, thread_main);
  }
}

Block::~Block() { running_block = nullptr; }

void Block::run() {
  race_detector::release(&started_);
  for (const Warp& warp : warps) wake(warp, kFullMask);
  try {
    schedule_until_done();
  } catch (const EngineStopped&) {
    // An engine's work failed; the failure is recorded.
  }
  order_abandoned_threads();
  if (!failed_) check_at_end();
  const ptrdiff_t guard = shared.overwritten_guard();
  if (guard != 0) {
    char message[96];
    std::snprintf(
        message, sizeof message,
        "the byte at offset %td of the block's %zu bytes of shared memory was overwritten", guard,
        shared.bytes());
    record_failure("smem-oob", message);
  }
}

void Block::schedule_until_done() {
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
      if (live_threads != 0) fail_as_deadlock();
      return;
    }
  }
}

void Block::fail_as_deadlock() {
  char message[1000];
  describe_deadlock(*this, message, sizeof message);
  record_failure("deadlock", message);
}

void Block::wake(std::vector<Thread*>& waiters) {
  for (const Thread* thread : waiters) wake(*thread->warp, 1u << thread->lane);
  waiters.clear();
}

void Block::record_failure(const char* kind, const char* message) {
  failed_ = true;
  char located[1100];
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
}

}  // namespace

void Block::thread_main() {
  Fiber::entered();
  Block& block = this_block();
  race_detector::acquire(&block.started_);
  block.request.run_thread(block.request.arguments);
  Thread& thread = this_thread();
  check_at_exit(thread);
  thread.has_exited = true;
  --block.live_threads;
  block.barriers.thread_exited();
  race_detector::release(&block.exited_);
  block.leave(thread, /*for_ever=*/true);
  std::abort();
}

// The next block reuses the fibers' stacks and the shared memory. Whoever was abandoned is ordered
// before that too, or the race detector would see races across blocks.
void Block::order_abandoned_threads() {
  if (!race_detector::enabled()) return;
  for (const Thread& thread : threads) {
    if (thread.has_exited) continue;
    const race_detector::ActingAs abandoned(thread.fiber.actor());
    race_detector::release(&exited_);
  }
  race_detector::acquire(&exited_);
}

void Block::check_at_end() {
  if (const uint32_t address = mbarriers.address_with_pending_bytes()) {
    char message[96];
    std::snprintf(message, sizeof message,
                  "the block ends while the mbarrier at 0x%x still expects bytes", address);
    record_failure("mbarrier", message);
  }
  for (size_t first = 0; first + 3 < warps.size(); first += 4) {  // warpgroups
    for (size_t other = first + 1; other < first + 4; ++other) {
      if (warps[first].wgmma.history_hash() != warps[other].wgmma.history_hash()) {
        record_failure("wgmma", "the four warps of a warpgroup issued different wgmmas");
      }
      if (warps[first].threads[0].max_registers != warps[other].threads[0].max_registers) {
        record_failure("setmaxnreg", "the four warps of a warpgroup did not execute it alike");
      }
    }
  }
}

}  // namespace emulator
