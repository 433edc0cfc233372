#include "runtime/block.h"

#include "runtime/failure.h"
#include "runtime/schedule.h"

namespace emulator {
namespace {

constexpr size_t kWarpsPerGroup = 4;
constexpr int kThreadsPerGroup = kWarpsPerGroup * kWarpSize;
constexpr int kRegisterFile = 65536;

void check_warpgroup(const Warp* warps) {
  for (size_t other = 1; other < kWarpsPerGroup; ++other) {
    if (warps[0].wgmma.history_hash() != warps[other].wgmma.history_hash()) {
      fail("wgmma", "the four warps of a warpgroup issued different wgmmas");
    }
    if (warps[0].threads[0].max_registers != warps[other].threads[0].max_registers) {
      fail("setmaxnreg", "the four warps of a warpgroup did not execute it alike");
    }
  }
}

}  // namespace

Block* running_block = nullptr;

const uint3& block_index() { return this_block().index; }
uint32_t cluster_rank() { return this_block().rank; }

Block::Block(const Schedule& schedule, const LaunchRequest& request, unsigned rank, uint3 index)
    : rank(rank),
      index(index),
      threads(size_t{request.block.x} * request.block.y * request.block.z),
      warps(threads.size() / kWarpSize),
      live_threads(threads.size()),
      shared(rank, request.smem_bytes, schedule.tight_alignment),
      mbarriers(shared) {
  for (unsigned warp = 0; warp < warps.size(); ++warp) {
    warps[warp].index = warp;
    warps[warp].number = rank * static_cast<unsigned>(warps.size()) + warp;
    warps[warp].threads = &threads[warp * kWarpSize];
  }
  for (unsigned linear = 0; linear < threads.size(); ++linear) {
    Thread& thread = threads[linear];
    const dim3& extent = request.block;
    thread.index = {linear % extent.x, linear / extent.x % extent.y, linear / extent.x / extent.y};
    thread.linear = linear;
    thread.lane = linear % kWarpSize;
    thread.warp = &warps[linear / kWarpSize];
    thread.block = this;
  }
}

void check_at_end(const Block& block) {
  if (const uint32_t address = block.mbarriers.address_with_pending_bytes()) {
    const auto bytes = static_cast<long long>(block.mbarriers.find(address)->expected_bytes);
    fail("mbarrier", "the block ends while the mbarrier at 0x%x still expects %lld bytes", address,
         bytes);
  }
  int registers = 0;
  for (size_t first = 0; first + 3 < block.warps.size(); first += kWarpsPerGroup) {
    check_warpgroup(&block.warps[first]);
    registers += kThreadsPerGroup * block.warps[first].threads[0].max_registers;
  }
  if (registers > kRegisterFile) {
    fail("setmaxnreg", "the warpgroups ask for %d registers; there are %d", registers,
         kRegisterFile);
  }
}

void check_guards(const Block& block) {
  const ptrdiff_t guard = block.shared.overwritten_guard();
  if (guard == 0) return;
  fail("smem-oob",
       "the byte at offset %td of the block's %zu bytes of shared memory was overwritten", guard,
       block.shared.bytes());
}

}  // namespace emulator
