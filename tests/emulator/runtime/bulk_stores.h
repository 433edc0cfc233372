// A thread's TMA stores: those not yet committed, and the committed groups in order.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace emulator {

struct TensorMap;

class BulkStores {
 public:
  void add(const TensorMap* map, uint32_t smem, const int (&coordinate)[3]);
  void commit();
  void wait(int pending);

  bool has_uncommitted() const { return !open_.empty(); }
  bool has_pending() const;

 private:
  struct Store {
    const TensorMap* map;
    uint32_t smem;
    std::array<int, 3> coordinate;
  };
  using Group = std::vector<Store>;

  static void perform(Group& group);

  Group open_;
  std::vector<Group> groups_;
};

}  // namespace emulator
