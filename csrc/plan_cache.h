// What the chooser said of the last problems, so that a repeated call does not ask it again.
//
// The key is all that the chooser can see: the problem with its addresses reduced to their
// alignment, the device and the family asked for. One cache per thread and kind of problem; a new
// problem replaces the one in its slot.
#pragma once

#include <array>
#include <cstdint>

#include "choice.h"
#include "direct_mapped_cache.h"
#include "problem.h"

namespace per_step_dense {

struct PlannedCall {
  Choice choice;
  size_t workspace_bytes = 0;
  bool goes_apart =
      false;  // a backward, by a launch for each product, which are calls of their own
};

namespace detail {

// Collects the integers of a key.
template <size_t kCapacity>
class KeyWriter {
 public:
  void add(int64_t value) { values_[count_++] = value; }

  // Of an address only the alignment matters, and whether it is there.
  void add(const void* data) {
    constexpr uintptr_t kWidestAccess = 16;
    add(data ? int64_t(reinterpret_cast<uintptr_t>(data) % kWidestAccess) : int64_t{-1});
  }
  void add(const View3& view) {
    add(view.data);
    for (const int64_t stride : view.stride) add(stride);
  }
  void add(const View2& view) {
    add(view.data);
    for (const int64_t stride : view.stride) add(stride);
  }

  const std::array<int64_t, kCapacity>& values() const { return values_; }

 private:
  std::array<int64_t, kCapacity> values_{};
  size_t count_ = 0;
};

using PlanKey = std::array<int64_t, 32>;

template <class Problem>
void add_extents(KeyWriter<32>& key, const Problem& problem, int device, KernelFamily family) {
  for (const int64_t extent : {problem.b, problem.t, problem.i, problem.o}) key.add(extent);
  const RowRanges& rows = problem.rows;
  for (const int64_t known : {int64_t(rows.begin != nullptr), rows.total, rows.most}) {
    key.add(known);
  }
  key.add(int64_t(problem.dtype) << 32 | int64_t(family) << 16 | int64_t(device));
}

inline PlanKey key_of(const ForwardProblem& problem, int device, KernelFamily family) {
  KeyWriter<32> key;
  add_extents(key, problem, device, family);
  key.add(int64_t(problem.activation));
  for (const View3& view : {problem.x, problem.weight, problem.y, problem.z}) key.add(view);
  key.add(problem.bias);
  return key.values();
}

inline PlanKey key_of(const BackwardProblem& problem, int device, KernelFamily family) {
  KeyWriter<32> key;
  add_extents(key, problem, device, family);
  key.add(int64_t(problem.accumulation));
  for (const View3& view : {problem.dz, problem.x, problem.weight, problem.dx, problem.dweight}) {
    key.add(view);
  }
  key.add(problem.dbias);
  return key.values();
}

}  // namespace detail

template <class Problem>
class PlanCache {
 public:
  // plan() is called where this problem was not the last in its slot.
  template <class Plan>
  PlannedCall find_or_plan(const Problem& problem, int device, KernelFamily family, Plan&& plan) {
    return *cache_.find_or_make(detail::key_of(problem, device, family), [&](PlannedCall& call) {
      call = plan();
      return true;
    });
  }

 private:
  DirectMappedCache<detail::PlanKey, PlannedCall> cache_;
};

}  // namespace per_step_dense
