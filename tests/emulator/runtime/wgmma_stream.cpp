#include "runtime/wgmma_stream.h"

#include <cstring>

#include "runtime/bfloat16.h"
#include "runtime/block.h"
#include "runtime/failure.h"
#include "runtime/wgmma_layout.h"

namespace emulator {
namespace {

constexpr int kRowsPerWarp = 16;
constexpr int kDepth = 16;  // k of one wgmma with 16-bit operands
constexpr int kMaxColumns = 256;
constexpr uint32_t kPoison = 0x7fbadbad;  // a NaN that no arithmetic makes

bool same_instruction(const WgmmaOperation& left, const WgmmaOperation& right) {
  return left.shape.n == right.shape.n && left.shape.a_mn_major == right.shape.a_mn_major &&
         left.shape.b_mn_major == right.shape.b_mn_major &&
         left.descriptor_a == right.descriptor_a && left.descriptor_b == right.descriptor_b &&
         left.accumulate == right.accumulate;
}

float load_element(const WgmmaDescriptor& descriptor, bool mn_major, int mn, int k) {
  const uint32_t address = wgmma_element_address(descriptor, mn_major, mn, k);
  uint16_t bits;
  std::memcpy(&bits, this_block().shared.async(address, sizeof bits, "a wgmma operand"),
              sizeof bits);
  return bfloat16_to_float(bits);
}

// Eight elements along k or mn share a 16-byte chunk; reporting each chunk once is enough.
void report_reads(const WgmmaDescriptor& descriptor, bool mn_major, int first_mn, int mn_count) {
  if (!race_detector::enabled()) return;
  const int mn_step = mn_major ? 8 : 1;
  const int k_step = mn_major ? 1 : 8;
  for (int mn = first_mn; mn < first_mn + mn_count; mn += mn_step) {
    for (int k = 0; k < kDepth; k += k_step) {
      const uint32_t address = wgmma_element_address(descriptor, mn_major, mn, k);
      race_detector::read(this_block().shared.generic(address, 16, "a wgmma operand"), 16);
    }
  }
}

struct Product {
  float values[kRowsPerWarp][kMaxColumns];
};

// Static: too large for a fiber's stack, and only one operation is performed at a time.
Product product;
float operand_b[kDepth][kMaxColumns];

void multiply(const WgmmaOperation& operation, int first_row) {
  const WgmmaDescriptor a = decode_wgmma_descriptor(operation.descriptor_a);
  const WgmmaDescriptor b = decode_wgmma_descriptor(operation.descriptor_b);
  const int columns = operation.shape.n;
  for (int k = 0; k < kDepth; ++k) {
    for (int n = 0; n < columns; ++n) {
      operand_b[k][n] = load_element(b, operation.shape.b_mn_major, n, k);
    }
  }
  for (int row = 0; row < kRowsPerWarp; ++row) {
    float* const sums = product.values[row];
    for (int n = 0; n < columns; ++n) sums[n] = 0;
    for (int k = 0; k < kDepth; ++k) {
      const float value = load_element(a, operation.shape.a_mn_major, first_row + row, k);
      for (int n = 0; n < columns; ++n) sums[n] += value * operand_b[k][n];
    }
  }
  report_reads(a, operation.shape.a_mn_major, first_row, kRowsPerWarp);
  report_reads(b, operation.shape.b_mn_major, 0, columns);
}

}  // namespace

InFlightAccumulator* WgmmaStream::find_accumulator(unsigned lane, const float* registers) {
  for (InFlightAccumulator& accumulator : accumulators_[lane]) {
    if (accumulator.registers == registers) return &accumulator;
  }
  return nullptr;
}

WgmmaOperation& WgmmaStream::join_operation(size_t number, const WgmmaOperation& joining) {
  if (number == operations_.size()) {
    operations_.push_back(std::make_unique<WgmmaOperation>(joining));
    const uint64_t words[] = {static_cast<uint64_t>(joining.shape.n),
                              joining.descriptor_a,
                              joining.descriptor_b,
                              joining.shape.a_mn_major,
                              joining.shape.b_mn_major,
                              joining.accumulate};
    for (uint64_t word : words) history_hash_ = (history_hash_ ^ word) * 1099511628211ull;
  }
  WgmmaOperation& operation = *operations_[number];
  if (!same_instruction(operation, joining)) {
    fail("wgmma", "lanes of a warp give wgmma number %zu different descriptors or flags", number);
  }
  return operation;
}

void WgmmaStream::take_accumulator(Thread& thread, WgmmaOperation& operation, float* accum) {
  const int count = operation.shape.n / 2;
  InFlightAccumulator* accumulator = find_accumulator(thread.lane, accum);
  if (accumulator == nullptr) {
    if (!thread.wgmma_fenced) {
      fail("wgmma",
           "thread %u: no wgmma.fence since the accumulator's registers were last "
           "accessible",
           thread.linear);
    }
    accumulators_[thread.lane].push_back({accum, std::vector<float>(accum, accum + count), 0});
    accumulator = &accumulators_[thread.lane].back();
    for (int i = 0; i < count; ++i) std::memcpy(accum + i, &kPoison, sizeof kPoison);
  }
  ++accumulator->pending_operations;
  operation.accum[thread.lane] = accum;
}

void WgmmaStream::issue(Thread& thread, float* accum, const WgmmaShape& shape,
                        uint64_t descriptor_a, uint64_t descriptor_b, bool accumulate) {
  if (this_block().threads.size() % 128 != 0) {
    fail("wgmma", "the block's %zu threads are not whole warpgroups", this_block().threads.size());
  }
  for (uint64_t descriptor : {descriptor_a, descriptor_b}) {
    if (const char* error = wgmma_descriptor_error(descriptor)) {
      fail("wgmma", "descriptor 0x%016llx has %s", static_cast<unsigned long long>(descriptor),
           error);
    }
  }
  WgmmaOperation joining{};
  joining.shape = shape;
  joining.descriptor_a = descriptor_a;
  joining.descriptor_b = descriptor_b;
  joining.accumulate = accumulate;
  joining.group = WgmmaOperation::kNoGroup;
  WgmmaOperation& operation = join_operation(thread.wgmmas_issued++, joining);
  take_accumulator(thread, operation, accum);
  race_detector::release(&operation.issued);
  if (++operation.lanes_issued < 32) return;

  // The operations of a warp complete in order.
  if (this_block().does_now(this_block().schedule.wgmma)) {
    for (size_t earlier = retired_; earlier < thread.wgmmas_issued; ++earlier) {
      perform(*thread.warp, *operations_[earlier]);
    }
  }
}

void WgmmaStream::commit(Thread& thread) {
  const int group = static_cast<int>(thread.wgmma_groups++);
  for (size_t last = thread.wgmmas_issued; last-- > 0;) {
    if (operations_[last]->group != WgmmaOperation::kNoGroup) break;
    operations_[last]->group = group;
  }
}

void WgmmaStream::perform(const Warp& warp, WgmmaOperation& operation) {
  if (operation.done) return;
  operation.done = true;
  ++this_block().report.counters.wgmmas;
  if (engine_ == nullptr) engine_ = race_detector::create_actor();
  {
    const race_detector::ActingAs engine(engine_);
    race_detector::acquire(&operation.issued);
    multiply(operation, static_cast<int>(warp.index % 4) * kRowsPerWarp);
    race_detector::release(&operation.finished);
    this_block().order_before_next_block();
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    InFlightAccumulator& accumulator = *find_accumulator(lane, operation.accum[lane]);
    --accumulator.pending_operations;
    for (int i = 0; i < operation.shape.n / 2; ++i) {  // the ISA's fragment of D
      const int row = static_cast<int>(lane) / 4 + 8 * (i / 2 % 2);
      const int column = 8 * (i / 4) + 2 * (static_cast<int>(lane) % 4) + i % 2;
      float& value = accumulator.values[static_cast<size_t>(i)];
      value = product.values[row][column] + (operation.accumulate ? value : 0.0f);
    }
  }
}

void WgmmaStream::retire_groups_below(const Warp& warp, int group) {
  for (; retired_ < operations_.size(); ++retired_) {
    WgmmaOperation& operation = *operations_[retired_];
    if (operation.group == WgmmaOperation::kNoGroup || operation.group >= group) break;
    perform(warp, operation);
  }
}

bool WgmmaStream::is_pending_for(unsigned lane, const float* registers) const {
  for (size_t number = retired_; number < operations_.size(); ++number) {
    if (operations_[number]->accum[lane] == registers) return true;
  }
  return false;
}

void WgmmaStream::give_back_accumulators(unsigned lane, unsigned thread) {
  std::vector<InFlightAccumulator> still_in_flight;
  for (InFlightAccumulator& accumulator : accumulators_[lane]) {
    if (accumulator.pending_operations != 0 || is_pending_for(lane, accumulator.registers)) {
      still_in_flight.push_back(accumulator);
      continue;
    }
    for (size_t i = 0; i < accumulator.values.size(); ++i) {
      uint32_t bits;
      std::memcpy(&bits, accumulator.registers + i, sizeof bits);
      if (bits != kPoison) {
        fail("wgmma", "thread %u wrote an accumulator while a wgmma had it", thread);
      }
    }
    std::memcpy(accumulator.registers, accumulator.values.data(),
                accumulator.values.size() * sizeof(float));
  }
  accumulators_[lane].swap(still_in_flight);
}

namespace {

struct WaitingLane {
  Thread* thread;
  int pending;
};

}  // namespace

void WgmmaStream::wait(Thread& thread, int pending) {
  WaitingLane own{&thread, pending};
  warp_collective(
      "wgmma.wait_group", 0, kFullMask, &own, [](Warp& warp, const OpenCollective& collective) {
        const auto* first = static_cast<const WaitingLane*>(collective.arguments[0]);
        for (void* argument : collective.arguments) {
          const auto* lane = static_cast<const WaitingLane*>(argument);
          if (lane->pending != first->pending ||
              lane->thread->wgmmas_issued != first->thread->wgmmas_issued ||
              lane->thread->wgmma_groups != first->thread->wgmma_groups) {
            fail("wgmma", "lanes of a warp reach wgmma.wait_group with different histories");
          }
        }
        const int done_below = static_cast<int>(first->thread->wgmma_groups) - first->pending;
        warp.wgmma.retire_groups_below(warp, done_below);
        for (unsigned lane = 0; lane < 32; ++lane) {
          Thread& waiting = warp.threads[lane];
          waiting.wgmma_fenced = false;
          warp.wgmma.give_back_accumulators(lane, waiting.linear);
        }
      });
  if (!race_detector::enabled()) return;
  for (size_t number = 0; number < retired_; ++number) {
    race_detector::acquire(&operations_[number]->finished);
  }
}

void wgmma_fence() { this_thread().wgmma_fenced = true; }
void wgmma_bf16(float* accum, const WgmmaShape& shape, uint64_t descriptor_a, uint64_t descriptor_b,
                bool accumulate) {
  Thread& thread = this_thread();
  thread.warp->wgmma.issue(thread, accum, shape, descriptor_a, descriptor_b, accumulate);
}
void wgmma_commit_group() {
  Thread& thread = this_thread();
  thread.warp->wgmma.commit(thread);
}
void wgmma_wait_group(int pending) {
  Thread& thread = this_thread();
  thread.warp->wgmma.wait(thread, pending);
}

void setmaxnreg(int registers) {
  if (registers < 24 || registers > 256 || registers % 8 != 0) {
    fail("setmaxnreg", "%d registers: not a multiple of 8 in 24 .. 256", registers);
  }
  this_thread().max_registers = registers;
}

}  // namespace emulator
