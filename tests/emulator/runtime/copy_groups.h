// A thread's cp.async copies.
#pragma once

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
    int group;
  };

  static void perform(Copy& copy);

  std::vector<Copy> copies_;  // those not waited for, in the order of their issue
  int committed_groups_ = 0;
};

}  // namespace emulator
