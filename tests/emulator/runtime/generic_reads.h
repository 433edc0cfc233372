// Which parts of shared memory threads have read without a proxy fence since: no engine may write
// there before each of them has executed one, or it may overtake them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

class GenericReads {
 public:
  void add(unsigned thread, uint32_t smem);
  void order(unsigned thread);  // by its proxy fence

  // Fails where a read was not ordered before what an engine writes.
  void check_ordered(uint32_t smem, size_t bytes) const;

 private:
  static constexpr uint32_t kPageBytes = 1024;  // what engines write begins with one, mostly

  std::vector<std::vector<uint32_t>> pages_;  // by thread
};

}  // namespace emulator
