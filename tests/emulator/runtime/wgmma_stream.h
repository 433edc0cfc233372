// A warp's wgmmas. Each warp computes its own 16 rows of the 64, so that the emulation adds no
// synchronisation between the four warps of a warpgroup that hardware does not have.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/device.h"
#include "runtime/race_detector.h"

namespace emulator {

struct Thread;
struct Warp;

// A lane's part of A: hardware reads the registers at any time until the wait, so that they must be
// what they were.
struct WgmmaRegisters {
  const uint32_t* registers;  // null where A is in shared memory
  std::array<uint32_t, 4> at_issue;
};

struct WgmmaOperation {
  static constexpr int kNoGroup = -1;

  WgmmaShape shape;
  uint64_t descriptor_a;  // 0 where A is in registers
  uint64_t descriptor_b;
  bool accumulate;

  int group = kNoGroup;
  int lanes_issued = 0;
  bool done = false;
  std::array<float*, 32> accum{};
  std::array<WgmmaRegisters, 32> a{};
  // The race detector's tokens: threads before the engine, the engine before waiting threads.
  char issued = 0;
  char finished = 0;
};

// One lane's accumulator between the issue and the wait: its registers hold NaN meanwhile, since
// hardware lets nobody look at them.
struct InFlightAccumulator {
  float* registers;
  std::vector<float> values;
  int pending_operations;
};

class WgmmaStream {
 public:
  // A is in shared memory where `registers_a` is null.
  void issue(Thread& thread, float* accum, const WgmmaShape& shape, uint64_t descriptor_a,
             const uint32_t* registers_a, uint64_t descriptor_b, bool accumulate);
  void commit(Thread& thread);
  void wait(Thread& thread, int pending);

  bool has_accumulator_in_flight(unsigned lane) const { return !accumulators_[lane].empty(); }
  // Equal for warps that issued the same operations in the same order.
  uint64_t history_hash() const { return history_hash_; }

 private:
  WgmmaOperation& join_operation(size_t number, const WgmmaOperation& joining);
  void take_registers(Thread& thread, WgmmaOperation& operation, const uint32_t* registers);
  void take_accumulator(Thread& thread, WgmmaOperation& operation, float* accum);
  InFlightAccumulator* find_accumulator(unsigned lane, const float* registers);
  void perform(const Warp& warp, WgmmaOperation& operation);
  void retire_groups_below(const Warp& warp, int group);
  void give_back_accumulators(unsigned lane, unsigned thread);
  bool is_pending_for(unsigned lane, const float* registers) const;

  std::vector<std::unique_ptr<WgmmaOperation>> operations_;
  size_t retired_ = 0;
  std::array<std::vector<InFlightAccumulator>, 32> accumulators_;
  uint64_t history_hash_ = 1469598103934665603ull;  // FNV-1a
  race_detector::Actor engine_ = nullptr;
};

}  // namespace emulator
