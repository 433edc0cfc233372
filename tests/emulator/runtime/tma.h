// TMA loads that were issued and have not landed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/race_detector.h"
#include "runtime/tensor_map.h"

namespace emulator {

class Block;

class TmaLoads {
 public:
  // Into the shared memory of `target`, where the barrier lies too.
  void issue(Block& target, uint32_t smem, const TensorMap& map, uint32_t barrier,
             const int (&coordinate)[3]);

  bool empty() const { return pending_.empty(); }
  bool has_any_into(const Block& target) const;
  // Lands one of them; loads complete in any order.
  void perform_any();

 private:
  struct Load {
    Block* target;
    TensorMap map;  // a copy: the kernel's parameters end with the thread that issued the load
    uint32_t smem;
    uint32_t barrier;
    std::array<int, 3> coordinate;
    race_detector::Actor actor;
  };

  void perform(size_t index);
  static void copy_box(const Load& load);

  std::vector<Load> pending_;
};

}  // namespace emulator
