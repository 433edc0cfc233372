#include "runtime/mbarrier.h"

#include <cstring>

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {
namespace {

constexpr int64_t kCountLimit = 1 << 20;

// What lies in shared memory in place of the opaque object, so that an ordinary store over it
// shows.
uint64_t object_at(uint32_t address) { return 0x6d62617272696572ull ^ (uint64_t{address} << 13); }

}  // namespace

Mbarrier& Mbarriers::at(uint32_t address, const char* instruction) {
  const auto found = barriers_.find(address);
  if (found == barriers_.end()) {
    fail("mbarrier", "%s: there is no initialised mbarrier at 0x%x", instruction, address);
  }
  const unsigned char* smem = shared_.generic(address, 8, instruction);
  uint64_t object;
  std::memcpy(&object, smem, sizeof object);
  if (object != object_at(address)) {
    fail("mbarrier", "%s: ordinary stores overwrote the mbarrier at 0x%x", instruction, address);
  }
  return found->second;
}

void Mbarriers::advance_if_complete(uint32_t address, Mbarrier& barrier) {
  if (barrier.pending != 0) return;  // who arrives may announce more bytes
  if (barrier.expected_bytes < 0) {
    fail("mbarrier", "complete_tx at 0x%x: %lld bytes more than expect_tx announced in phase %llu",
         address, static_cast<long long>(-barrier.expected_bytes),
         static_cast<unsigned long long>(barrier.phase));
  }
  if (barrier.expected_bytes != 0) return;
  ++barrier.phase;
  barrier.pending = barrier.arrivals;
  this_cluster().wake(barrier.waiters);
}

void Mbarriers::init(uint32_t address, uint32_t arrivals) {
  if (address % 8 != 0) fail("mbarrier", "init: 0x%x is not 8-byte aligned", address);
  if (arrivals < 1 || arrivals >= uint32_t{kCountLimit}) {
    fail("mbarrier", "init at 0x%x: %u arrivals", address, arrivals);
  }
  unsigned char* smem = shared_.generic(address, 8, "mbarrier.init");
  const uint64_t object = object_at(address);
  std::memcpy(smem, &object, sizeof object);
  race_detector::write(smem, sizeof object);
  Mbarrier barrier;
  barrier.arrivals = arrivals;
  barrier.pending = arrivals;
  barriers_[address] = barrier;
}

void Mbarriers::arrive(uint32_t address, uint32_t expected_bytes) {
  Mbarrier& barrier = at(address, "mbarrier.arrive");
  race_detector::release(&barrier.orders[barrier.phase & 1]);
  race_detector::read(shared_.generic(address, 8, "mbarrier.arrive"), 8);
  barrier.expected_bytes += expected_bytes;
  if (barrier.expected_bytes >= kCountLimit) {
    fail("mbarrier", "arrive at 0x%x: more than 2^20 bytes expected", address);
  }
  if (barrier.pending < 1) {
    fail("mbarrier", "arrive at 0x%x: more than %u arrivals in phase %llu", address,
         barrier.arrivals, static_cast<unsigned long long>(barrier.phase));
  }
  --barrier.pending;
  advance_if_complete(address, barrier);
}

void Mbarriers::arrive_from_cluster(uint32_t address) {
  require_published(address, "an mbarrier.arrive by the cluster");
  arrive(address, 0);
}

bool Mbarriers::try_wait_parity(uint32_t address, uint32_t parity) {
  Mbarrier& barrier = at(address, "mbarrier.try_wait");
  race_detector::read(shared_.generic(address, 8, "mbarrier.try_wait"), 8);
  const auto is_open = [&] { return (barrier.phase & 1) == parity; };
  if (is_open()) {
    barrier.waiters.push_back(&this_thread());
    this_cluster().wait(WaitReason::Kind::kMbarrier, "", address, parity);
    if (is_open()) return false;  // two phases went by: the caller asks again
  }
  race_detector::acquire(&barrier.orders[(barrier.phase & 1) ^ 1]);
  return true;
}

void Mbarriers::complete_bytes(uint32_t address, int64_t bytes) {
  Mbarrier& barrier = at(address, "complete_tx");
  race_detector::release(&barrier.orders[barrier.phase & 1]);
  barrier.expected_bytes -= bytes;
  if (barrier.expected_bytes <= -kCountLimit) {
    fail("mbarrier", "complete_tx at 0x%x: more than 2^20 bytes that nobody announced", address);
  }
  advance_if_complete(address, barrier);
}

void Mbarriers::require_published(uint32_t address, const char* instruction) {
  if (!at(address, instruction).is_published) {
    fail("mbarrier", "%s uses the mbarrier at 0x%x, which no fence published after its init",
         instruction, address);
  }
}

void Mbarriers::publish() {
  for (auto& [address, barrier] : barriers_) barrier.is_published = true;
}

const Mbarrier* Mbarriers::find(uint32_t address) const {
  const auto found = barriers_.find(address);
  return found == barriers_.end() ? nullptr : &found->second;
}

uint32_t Mbarriers::address_with_pending_bytes() const {
  for (const auto& [address, barrier] : barriers_) {
    if (barrier.expected_bytes != 0) return address;
  }
  return 0;
}

void mbarrier_init(uint32_t barrier, uint32_t arrivals) {
  this_block().mbarriers.init(barrier, arrivals);
}
void mbarrier_arrive(uint32_t barrier, uint32_t expected_bytes) {
  this_block().mbarriers.arrive(barrier, expected_bytes);
}
void mbarrier_arrive_cluster(uint32_t barrier, uint32_t rank) {
  this_cluster().reach(rank, "mbarrier.arrive").mbarriers.arrive_from_cluster(barrier);
}
bool mbarrier_try_wait_parity(uint32_t barrier, uint32_t parity) {
  return this_block().mbarriers.try_wait_parity(barrier, parity);
}
void fence_mbarrier_init() { this_block().mbarriers.publish(); }
void fence_proxy_async() {
  this_block().shared.publish_to_async();
  this_block().mbarriers.publish();
  this_block().generic_reads.order(this_thread().linear);
}

}  // namespace emulator
