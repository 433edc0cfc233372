// A thread's cp.async copies: those not yet committed, and the committed groups in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

class CopyGroups {
 public:
  void add(uint32_t smem, const void* gmem, int bytes, int source_bytes);
  void commit();
  void wait(int pending);
  // Whether a copy was issued that no wait covers.
  bool has_pending() const { return !copies_.empty(); }

 private:
  struct Copy {
    uint32_t smem;
    const void* gmem;
    int bytes;
    int source_bytes;  // the rest is filled with zeros
    bool done;         // before its wait, as an eager engine may
  };

  static void perform(Copy& copy);

  std::vector<Copy> copies_;         // in the order of their issue
  std::vector<size_t> group_sizes_;  // of the committed ones, which are the first
  size_t open_size_ = 0;             // of those not yet committed, which are the last
};

}  // namespace emulator
