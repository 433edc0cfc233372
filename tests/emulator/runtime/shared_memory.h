// A block's dynamic shared memory, seen by threads (the generic proxy) and by engines (the async
// proxy). Ordinary stores reach the second view only through fence.proxy.async.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

class SharedMemory {
 public:
  // `rank` is that of the block in its cluster.
  SharedMemory(unsigned rank, size_t bytes, bool tight_alignment);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Fixes where the memory begins. The first call counts: nothing was accessed before it.
  unsigned char* place(size_t alignment);

  uint32_t address_of(const void* pointer) const;
  bool contains(const void* pointer) const;

  // The bytes at a shared address, in either view. Fails unless all lie in the block's memory.
  unsigned char* generic(uint32_t address, size_t bytes, const char* instruction) {
    return generic_ + offset_of(address, bytes, instruction);
  }
  unsigned char* async(uint32_t address, size_t bytes, const char* instruction) {
    return async_view() + offset_of(address, bytes, instruction);
  }

  // fence.proxy.async. An over-approximation: it publishes what every thread wrote, not only the
  // fencing one.
  void publish_to_async();

  // The offset of a guard byte that was overwritten, negative in front of the memory; 0 if none.
  ptrdiff_t overwritten_guard() const;

  size_t bytes() const { return bytes_; }

 private:
  size_t offset_of(uint32_t address, size_t bytes, const char* instruction) const {
    const uint64_t offset = uint64_t{address} - base_;
    if (address < base_ || offset + bytes > bytes_) fail_outside(address, bytes, instruction);
    return offset;
  }
  [[noreturn]] void fail_outside(uint32_t address, size_t bytes, const char* instruction) const;
  unsigned char* async_view();

  size_t bytes_;
  bool tight_alignment_;
  size_t mapping_bytes_;
  unsigned char* mapping_;
  unsigned char* generic_ = nullptr;
  std::vector<unsigned char> async_;  // empty until an engine is used
  uint32_t base_ = UINT32_MAX;        // the shared address of byte 0, once it has a place
};

}  // namespace emulator
