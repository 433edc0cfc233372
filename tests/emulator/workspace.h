// The workspace of a call: as large as planned, full of NaN, between two guards.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/global_memory.h"

namespace emulator {

class Workspace {
 public:
  explicit Workspace(size_t bytes) : bytes_(bytes), buffer_(bytes + 4 * kGuardBytes, kPoison) {
    const auto address = reinterpret_cast<uintptr_t>(buffer_.data());
    begin_ = kGuardBytes + (kGuardBytes - address % kGuardBytes) + kAlignment;
  }

  // Null where nothing was asked for.
  void* data() { return bytes_ ? &buffer_[begin_] : nullptr; }

  TensorView view() {
    const auto elements = static_cast<int64_t>(bytes_ / sizeof(float));
    return {"workspace",   BufferRole::kWorkspace, data(),
            sizeof(float), {1, 1, elements},       {0, 0, 1}};
  }

  bool has_intact_guards() const {
    const auto is_poison = [](unsigned char byte) { return byte == kPoison; };
    const auto begin = buffer_.begin() + static_cast<ptrdiff_t>(begin_);
    return std::all_of(buffer_.begin(), begin, is_poison) &&
           std::all_of(begin + static_cast<ptrdiff_t>(bytes_), buffer_.end(), is_poison);
  }

 private:
  static constexpr unsigned char kPoison = 0xff;  // NaN in every type, when repeated
  static constexpr size_t kGuardBytes = 256;
  static constexpr size_t kAlignment = 16;  // what kernels may rely on, and no more

  size_t bytes_;
  std::vector<unsigned char> buffer_;
  size_t begin_;
};

}  // namespace emulator
