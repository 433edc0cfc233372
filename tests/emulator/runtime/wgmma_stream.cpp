#include "runtime/wgmma_stream.h"

#include <algorithm>
#include <cstring>

#include "runtime/cluster.h"
#include "runtime/failure.h"
#include "runtime/operands.h"
#include "runtime/wgmma_layout.h"

namespace emulator {
namespace {

constexpr int kRowsPerWarp = 16;
constexpr int kMaxDepth = 16;
constexpr int kMaxColumns = 256;
constexpr uint32_t kPoison = 0x7fbadbad;  // a NaN that no arithmetic makes

bool same_instruction(const WgmmaOperation& left, const WgmmaOperation& right) {
  return left.shape.type == right.shape.type && left.shape.n == right.shape.n &&
         left.shape.a_mn_major == right.shape.a_mn_major &&
         left.shape.b_mn_major == right.shape.b_mn_major &&
         left.descriptor_a == right.descriptor_a && left.descriptor_b == right.descriptor_b &&
         left.accumulate == right.accumulate;
}

// k of one wgmma, and the elements of an operand that share 16 bytes: of one mn, or, transposed, of
// one k.
template <class Operand>
constexpr int kDepth = 32 / sizeof(typename Operand::Bits);
template <class Operand>
constexpr int kChunk = 16 / sizeof(typename Operand::Bits);

template <class Operand>
void load_chunk(const WgmmaDescriptor& descriptor, bool mn_major, int mn, int k,
                float (&values)[kChunk<Operand>]) {
  constexpr size_t kBytes = 16;
  SharedMemory& shared = this_block().shared;
  const uint32_t address =
      mn_major ? wgmma_address_along_mn(descriptor, mn, k)
               : wgmma_address_along_k(descriptor, mn, k, sizeof(typename Operand::Bits));
  typename Operand::Bits bits[kChunk<Operand>];
  std::memcpy(bits, shared.async(address, kBytes, "a wgmma operand"), kBytes);
  race_detector::read(shared.generic(address, kBytes, "a wgmma operand"), kBytes);
  for (int i = 0; i < kChunk<Operand>; ++i) values[i] = Operand::widen(bits[i]);
}

// Calls visit(mn, k, value) for the elements from `first_mn` on.
template <class Operand, class Visit>
void for_each_element(const WgmmaDescriptor& descriptor, bool mn_major, int first_mn, int mn_count,
                      Visit&& visit) {
  constexpr int kTogether = kChunk<Operand>;
  const int mn_step = mn_major ? kTogether : 1;
  const int k_step = mn_major ? 1 : kTogether;
  for (int mn = 0; mn < mn_count; mn += mn_step) {
    for (int k = 0; k < kDepth<Operand>; k += k_step) {
      float values[kTogether];
      load_chunk<Operand>(descriptor, mn_major, first_mn + mn, k, values);
      for (int i = 0; i < kTogether; ++i) {
        visit(mn_major ? mn + i : mn, mn_major ? k : k + i, values[i]);
      }
    }
  }
}

// Eight neighbours of a row: the compiler's vector type is one at every level of optimisation.
constexpr int kLanes = 8;
using Vector [[gnu::vector_size(kLanes * sizeof(float))]] = float;

// Static: too large for a fiber's stack, and only one operation is performed at a time.
float operand_a[kRowsPerWarp][kMaxDepth];
alignas(Vector) float operand_b[kMaxDepth][kMaxColumns];
alignas(Vector) float product[kRowsPerWarp][kMaxColumns];

template <class Operand>
void load_a(const WgmmaOperation& operation, int first_row) {
  for_each_element<Operand>(decode_wgmma_descriptor(operation.descriptor_a),
                            operation.shape.a_mn_major, first_row, kRowsPerWarp,
                            [](int m, int k, float value) { operand_a[m][k] = value; });
}

bool has_a_in_registers(const WgmmaOperation& operation) {
  return operation.a[0].registers != nullptr;
}

// As the ISA lays out A of 32-bit elements in the registers of a warp.
void load_a_of_registers(const WgmmaOperation& operation) {
  for (int lane = 0; lane < 32; ++lane) {
    const uint32_t* const registers = operation.a[lane].registers;
    for (int i = 0; i < 4; ++i) {
      operand_a[lane / 4 + i % 2 * 8][lane % 4 + i / 2 * 4] = Tfloat32::widen(registers[i]);
    }
  }
}

template <class Operand>
void multiply(const WgmmaOperation& operation, int first_row) {
  constexpr int kTerms = kDepth<Operand>;
  const WgmmaShape& shape = operation.shape;
  if (has_a_in_registers(operation)) {
    load_a_of_registers(operation);
  } else {
    load_a<Operand>(operation, first_row);
  }
  for_each_element<Operand>(decode_wgmma_descriptor(operation.descriptor_b), shape.b_mn_major, 0,
                            shape.n, [](int n, int k, float value) { operand_b[k][n] = value; });
  for (int n = 0; n < shape.n; n += kLanes) {
    Vector columns[kTerms];
    for (int k = 0; k < kTerms; ++k) std::memcpy(&columns[k], &operand_b[k][n], sizeof(Vector));
    for (int m = 0; m < kRowsPerWarp; ++m) {
      Vector sum = {};
#pragma GCC unroll 16
      for (int k = 0; k < kTerms; ++k) sum += operand_a[m][k] * columns[k];
      std::memcpy(&product[m][n], &sum, sizeof sum);
    }
  }
}

// Adds the lane's part of the product, as the ISA lays out D: of every eight columns two
// neighbours, in two rows that are eight apart.
void add_fragment(unsigned lane, int columns, float* accum) {
  const unsigned row = lane / 4;
  const unsigned pair = lane % 4 * 2;
  for (int n = 0; n < columns; n += 8, accum += 4) {
    const float* const upper = &product[row][n + pair];
    const float* const lower = &product[row + 8][n + pair];
    accum[0] += upper[0];
    accum[1] += upper[1];
    accum[2] += lower[0];
    accum[3] += lower[1];
  }
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
    const uint64_t words[] = {static_cast<uint64_t>(joining.shape.type),
                              static_cast<uint64_t>(joining.shape.n),
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

void WgmmaStream::take_registers(Thread& thread, WgmmaOperation& operation,
                                 const uint32_t* registers) {
  // Written since the last wait, as far as can be known.
  if (!thread.wgmma_fenced) {
    fail("wgmma", "thread %u: no wgmma.fence since the registers of A were last accessible",
         thread.linear);
  }
  WgmmaRegisters& own = operation.a[thread.lane];
  own.registers = registers;
  std::copy_n(registers, own.at_issue.size(), own.at_issue.begin());
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
                        uint64_t descriptor_a, const uint32_t* registers_a, uint64_t descriptor_b,
                        bool accumulate) {
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
  if (registers_a != nullptr) take_registers(thread, operation, registers_a);
  take_accumulator(thread, operation, accum);
  race_detector::release(&operation.issued);
  if (++operation.lanes_issued < 32) return;

  // The operations of a warp complete in order.
  if (this_cluster().does_now(this_cluster().schedule.wgmma)) {
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
  ++this_cluster().report.counters.wgmmas;
  if (engine_ == nullptr) engine_ = race_detector::create_actor();
  {
    const race_detector::ActingAs engine(engine_);
    race_detector::acquire(&operation.issued);
    const int first_row = static_cast<int>(warp.index % 4) * kRowsPerWarp;
    switch (operation.shape.type) {
      case WgmmaType::kFloat16:
        multiply<Float16>(operation, first_row);
        break;
      case WgmmaType::kBfloat16:
        multiply<Bfloat16>(operation, first_row);
        break;
      case WgmmaType::kTfloat32:
        multiply<Tfloat32>(operation, first_row);
        break;
    }
    race_detector::release(&operation.finished);
    this_cluster().order_before_next_cluster();
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    InFlightAccumulator& accumulator = *find_accumulator(lane, operation.accum[lane]);
    --accumulator.pending_operations;
    if (!operation.accumulate) {
      std::fill(accumulator.values.begin(), accumulator.values.end(), 0.0f);
    }
    add_fragment(lane, operation.shape.n, accumulator.values.data());
  }
}

namespace {

void check_registers(const Warp& warp, const WgmmaOperation& operation) {
  for (unsigned lane = 0; lane < 32; ++lane) {
    const WgmmaRegisters& a = operation.a[lane];
    if (a.registers == nullptr) continue;
    if (!std::equal(a.at_issue.begin(), a.at_issue.end(), a.registers)) {
      fail("wgmma", "thread %u wrote registers of A while a wgmma had them",
           warp.threads[lane].linear);
    }
  }
}

}  // namespace

void WgmmaStream::retire_groups_below(const Warp& warp, int group) {
  for (; retired_ < operations_.size(); ++retired_) {
    WgmmaOperation& operation = *operations_[retired_];
    if (operation.group == WgmmaOperation::kNoGroup || operation.group >= group) break;
    perform(warp, operation);
    check_registers(warp, operation);
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
  // The last one tells of all: one engine performs a warp's operations, in order.
  if (retired_ != 0) race_detector::acquire(&operations_[retired_ - 1]->finished);
}

void wgmma_fence() { this_thread().wgmma_fenced = true; }
void wgmma(float* accum, const WgmmaShape& shape, uint64_t descriptor_a, uint64_t descriptor_b,
           bool accumulate) {
  Thread& thread = this_thread();
  thread.warp->wgmma.issue(thread, accum, shape, descriptor_a, nullptr, descriptor_b, accumulate);
}
void wgmma_of_registers(float* accum, const WgmmaShape& shape, const uint32_t* registers_a,
                        uint64_t descriptor_b, bool accumulate) {
  Thread& thread = this_thread();
  thread.warp->wgmma.issue(thread, accum, shape, 0, registers_a, descriptor_b, accumulate);
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
