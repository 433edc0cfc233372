// mbarrier objects: arrivals, transaction bytes, phases.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace emulator {

class SharedMemory;
struct Thread;

struct Mbarrier {
  uint32_t arrivals = 0;  // that complete a phase
  int64_t pending = 0;
  // Announced, less those that came. A peer's may come before they are announced here.
  int64_t expected_bytes = 0;
  uint64_t phase = 0;
  bool is_published = false;  // to TMA and to the cluster
  std::vector<Thread*> waiters;
  char orders[2] = {};  // the race detector's tokens of an even and an odd phase
};

class Mbarriers {
 public:
  // Those of the block whose shared memory this is.
  explicit Mbarriers(SharedMemory& shared) : shared_(shared) {}

  void init(uint32_t address, uint32_t arrivals);
  void arrive(uint32_t address, uint32_t expected_bytes);
  void arrive_from_cluster(uint32_t address);
  bool try_wait_parity(uint32_t address, uint32_t parity);

  // What an engine does when its bytes have landed.
  void complete_bytes(uint32_t address, int64_t bytes);
  void require_published(uint32_t address, const char* instruction);
  void publish();

  // Null when there is none; unlike the rest this never fails.
  const Mbarrier* find(uint32_t address) const;
  // The address of one that still waits for bytes, or 0.
  uint32_t address_with_pending_bytes() const;

 private:
  Mbarrier& at(uint32_t address, const char* instruction);
  static void advance_if_complete(uint32_t address, Mbarrier& barrier);

  SharedMemory& shared_;
  std::map<uint32_t, Mbarrier> barriers_;
};

}  // namespace emulator
