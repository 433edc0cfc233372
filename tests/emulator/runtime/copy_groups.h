// A thread's cp.async copies: those not yet committed, and the committed groups in order.
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
  bool has_pending() const;

 private:
  struct Copy {
    uint32_t smem;
    const void* gmem;
    int bytes;
    int source_bytes;  // the rest is filled with zeros
    bool done;         // before its wait, as an eager engine may
  };
  using Group = std::vector<Copy>;

  static void perform(Copy& copy);

  Group open_;
  std::vector<Group> groups_;
};

}  // namespace emulator
