#include "runtime/shared_memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/block.h"
#include "runtime/failure.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace emulator {
namespace {

constexpr size_t kGuardBytes = 16 * 1024;
constexpr size_t kPeriodBytes = 1024;         // the coarsest alignment that anything asks for
constexpr unsigned char kPoisonValue = 0xff;  // NaN in every floating-point type
constexpr uint32_t kWindowStart = 1024;       // as on sm_90, which reserves the first kilobyte

// 0xffd5 in every 16 bits: NaN in every floating-point type too, so that a read beyond the memory
// shows in the results, yet not what a kernel writes, so that a write shows in the guard.
unsigned char guard_value(const unsigned char* byte) {
  return reinterpret_cast<uintptr_t>(byte) % 2 == 0 ? 0xd5 : 0xff;
}

void fill_guard(unsigned char* begin, const unsigned char* end) {
  for (unsigned char* byte = begin; byte < end; ++byte) *byte = guard_value(byte);
}

unsigned char* map_memory(size_t bytes) {
  void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    std::perror("emulator: cannot map shared memory");
    std::abort();
  }
  return static_cast<unsigned char*>(mapping);
}

unsigned char* round_up_to_period(unsigned char* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return pointer + (kPeriodBytes - address % kPeriodBytes) % kPeriodBytes;
}

}  // namespace

void copy_unseen(void* destination, const void* source, size_t bytes) {
#ifdef __x86_64__
  asm volatile("rep movsb" : "+D"(destination), "+S"(source), "+c"(bytes)::"memory");
#else
  std::memcpy(destination, source, bytes);
#endif
}

SharedMemory::SharedMemory(size_t bytes, bool tight_alignment)
    : bytes_(bytes),
      tight_alignment_(tight_alignment),
      mapping_bytes_(2 * kGuardBytes + 2 * kPeriodBytes + bytes),
      mapping_(map_memory(mapping_bytes_)),
      async_(static_cast<unsigned char*>(std::malloc(bytes + 1))) {
  std::memset(async_, kPoisonValue, bytes);
}

SharedMemory::~SharedMemory() {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(mapping_, mapping_bytes_);
#endif
  munmap(mapping_, mapping_bytes_);
  std::free(async_);
}

unsigned char* SharedMemory::place(size_t alignment) {
  if (generic_ != nullptr) return generic_;
  if (alignment < 16) alignment = 16;
  if (alignment > kPeriodBytes) fail("smem-oob", "shared memory aligned to %zu bytes", alignment);
  // An odd multiple of the alignment is aligned to it and to nothing coarser.
  const size_t misplacement = tight_alignment_ ? alignment * 9 % kPeriodBytes : 0;
  base_ = kWindowStart + static_cast<uint32_t>(misplacement);
  generic_ = round_up_to_period(mapping_ + kGuardBytes) + misplacement;

  unsigned char* const end = generic_ + bytes_;
  unsigned char* const mapping_end = mapping_ + mapping_bytes_;
  fill_guard(mapping_, generic_);
  std::memset(generic_, kPoisonValue, bytes_);
  fill_guard(end, mapping_end);
#ifdef __SANITIZE_ADDRESS__
  ASAN_POISON_MEMORY_REGION(mapping_, generic_ - mapping_);
  ASAN_POISON_MEMORY_REGION(end, mapping_end - end);
#endif
  return generic_;
}

uint32_t SharedMemory::address_of(const void* pointer) const {
  const auto* byte = static_cast<const unsigned char*>(pointer);
  if (generic_ == nullptr || byte < generic_ || byte > generic_ + bytes_) {
    fail("smem-oob", "the shared address is asked of a pointer that is not to shared memory");
  }
  return base_ + static_cast<uint32_t>(byte - generic_);
}

size_t SharedMemory::offset_of(uint32_t address, size_t bytes, const char* instruction) const {
  const uint64_t offset = uint64_t{address} - base_;
  if (address < base_ || offset + bytes > bytes_) {
    fail("smem-oob",
         "%s touches %zu bytes at shared address 0x%x, outside the block's %zu bytes "
         "at 0x%x",
         instruction, bytes, address, bytes_, base_);
  }
  return offset;
}

unsigned char* SharedMemory::generic(uint32_t address, size_t bytes, const char* instruction) {
  return generic_ + offset_of(address, bytes, instruction);
}

unsigned char* SharedMemory::async(uint32_t address, size_t bytes, const char* instruction) {
  return async_ + offset_of(address, bytes, instruction);
}

void SharedMemory::publish_to_async() {
  if (generic_ != nullptr) copy_unseen(async_, generic_, bytes_);
}

ptrdiff_t SharedMemory::overwritten_guard() const {
  if (generic_ == nullptr) return 0;
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(mapping_, mapping_bytes_);
#endif
  for (const unsigned char* byte = generic_ - 1; byte >= mapping_; --byte) {
    if (*byte != guard_value(byte)) return byte - generic_;
  }
  for (const unsigned char* byte = generic_ + bytes_; byte < mapping_ + mapping_bytes_; ++byte) {
    if (*byte != guard_value(byte)) return byte - generic_;
  }
  return 0;
}

void* dynamic_shared_memory(size_t bytes, size_t alignment) {
  SharedMemory& shared = this_block().shared;
  if (bytes > shared.bytes()) {
    fail("smem-oob", "the kernel's SharedStorage of %zu bytes exceeds the %zu bytes launched with",
         bytes, shared.bytes());
  }
  return shared.place(alignment);
}

uint32_t shared_address(const void* pointer) { return this_block().shared.address_of(pointer); }

}  // namespace emulator
