// Bytes that are zero until they are written, of which only those cost memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace emulator {

class ZeroPages {
 public:
  ZeroPages() = default;
  explicit ZeroPages(size_t bytes);
  ~ZeroPages();
  ZeroPages(ZeroPages&& other) noexcept { *this = std::move(other); }
  ZeroPages& operator=(ZeroPages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace emulator
