// TMA loads that were issued and have not landed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/race_detector.h"
#include "runtime/tensor_map.h"

namespace emulator {

class TmaLoads {
 public:
  void issue(uint32_t smem, const TensorMap* map, uint32_t barrier, const int (&coordinate)[3]);

  bool empty() const { return pending_.empty(); }
  // Lands one of them; loads complete in any order.
  void perform_any();

 private:
  struct Load {
    const TensorMap* map;
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
