// mbarrier objects: arrivals, transaction bytes, phases.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace emulator {

struct Thread;

struct Mbarrier {
  uint32_t arrivals = 0;  // that complete a phase
  int64_t pending = 0;
  int64_t expected_bytes = 0;  // announced, less those that came
  uint64_t phase = 0;
  bool visible_to_async = false;
  std::vector<Thread*> waiters;
  char orders[2] = {};  // the race detector's tokens of an even and an odd phase
};

class Mbarriers {
 public:
  void init(uint32_t address, uint32_t arrivals);
  void arrive(uint32_t address, uint32_t expected_bytes);
  bool try_wait_parity(uint32_t address, uint32_t parity);

  // What an engine does when its bytes have landed.
  void complete_bytes(uint32_t address, int64_t bytes);
  void require_visible_to_async(uint32_t address, const char* instruction);
  void publish_to_async();

  // Null when there is none; unlike the rest this never fails.
  const Mbarrier* find(uint32_t address) const;
  // The address of one that still waits for bytes, or 0.
  uint32_t address_with_pending_bytes() const;

 private:
  Mbarrier& at(uint32_t address, const char* instruction);
  static void advance_if_complete(Mbarrier& barrier);

  std::map<uint32_t, Mbarrier> barriers_;
};

}  // namespace emulator
