#include "runtime/shared_memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/address_sanitizer.h"
#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {
namespace {

constexpr size_t kGuardBytes = 16 * 1024;
constexpr size_t kPeriodBytes = 1024;         // the coarsest alignment that anything asks for
constexpr unsigned char kPoisonValue = 0xff;  // NaN in every floating-point type
constexpr uint32_t kWindowStart = 1024;       // as on sm_90, which reserves the first kilobyte

// NaN in every floating-point type too, so that a read beyond the memory shows in the results, yet
// not what a kernel writes, so that a write shows in the guard.
constexpr uint64_t kGuardWord = 0xffd5ffd5ffd5ffd5;
constexpr size_t kGuardWordBytes = sizeof kGuardWord;

// Guards begin and end anywhere; their words do not.
unsigned char guard_value(const unsigned char* byte) {
  const auto shift = reinterpret_cast<uintptr_t>(byte) % kGuardWordBytes * 8;
  return static_cast<unsigned char>(kGuardWord >> shift);
}

bool is_word_boundary(const unsigned char* byte) {
  return reinterpret_cast<uintptr_t>(byte) % kGuardWordBytes == 0;
}

void fill_guard(unsigned char* byte, const unsigned char* end) {
  for (; byte < end && !is_word_boundary(byte); ++byte) *byte = guard_value(byte);
  for (; byte + kGuardWordBytes <= end; byte += kGuardWordBytes) {
    std::memcpy(byte, &kGuardWord, kGuardWordBytes);
  }
  for (; byte < end; ++byte) *byte = guard_value(byte);
}

bool is_guard_intact(const unsigned char* byte, const unsigned char* end) {
  uint64_t difference = 0;
  for (; byte < end && !is_word_boundary(byte); ++byte) difference |= *byte ^ guard_value(byte);
  for (; byte + kGuardWordBytes <= end; byte += kGuardWordBytes) {
    uint64_t word;
    std::memcpy(&word, byte, sizeof word);
    difference |= word ^ kGuardWord;
  }
  for (; byte < end; ++byte) difference |= *byte ^ guard_value(byte);
  return difference == 0;
}

struct Mapping {
  unsigned char* begin = nullptr;
  size_t bytes = 0;
};

// Mapped once for all blocks of a rank, since a fresh mapping costs a page fault for every page.
unsigned char* map_memory(unsigned rank, size_t bytes) {
  static Mapping mappings[kMostClusterBlocks];
  Mapping& mapping = mappings[rank];
  if (bytes <= mapping.bytes) return mapping.begin;
  if (mapping.begin != nullptr) munmap(mapping.begin, mapping.bytes);
  void* const mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    std::perror("emulator: cannot map shared memory");
    std::abort();
  }
  mapping = {static_cast<unsigned char*>(mapped), bytes};
  return mapping.begin;
}

unsigned char* round_up_to_period(unsigned char* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  return pointer + (kPeriodBytes - address % kPeriodBytes) % kPeriodBytes;
}

}  // namespace

SharedMemory::SharedMemory(unsigned rank, size_t bytes, bool tight_alignment)
    : bytes_(bytes),
      tight_alignment_(tight_alignment),
      mapping_bytes_(2 * kGuardBytes + 2 * kPeriodBytes + bytes),
      mapping_(map_memory(rank, mapping_bytes_)) {}

SharedMemory::~SharedMemory() { address_sanitizer::unpoison(mapping_, mapping_bytes_); }

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
  address_sanitizer::poison(mapping_, static_cast<size_t>(generic_ - mapping_));
  address_sanitizer::poison(end, static_cast<size_t>(mapping_end - end));
  return generic_;
}

uint32_t SharedMemory::address_of(const void* pointer) const {
  const auto* byte = static_cast<const unsigned char*>(pointer);
  if (generic_ == nullptr || byte < generic_ || byte > generic_ + bytes_) {
    fail("smem-oob", "the shared address is asked of a pointer that is not to shared memory");
  }
  return base_ + static_cast<uint32_t>(byte - generic_);
}

bool SharedMemory::contains(const void* pointer) const {
  const auto* byte = static_cast<const unsigned char*>(pointer);
  return generic_ != nullptr && byte >= generic_ && byte < generic_ + bytes_;
}

void SharedMemory::fail_outside(uint32_t address, size_t bytes, const char* instruction) const {
  fail("smem-oob",
       "%s touches %zu bytes at shared address 0x%x, outside the block's %zu bytes "
       "at 0x%x",
       instruction, bytes, address, bytes_, base_);
}

void SharedMemory::publish_to_async() {
  if (generic_ != nullptr) std::memcpy(async_view(), generic_, bytes_);
}

unsigned char* SharedMemory::async_view() {
  if (async_.empty()) async_.assign(bytes_, kPoisonValue);
  return async_.data();
}

ptrdiff_t SharedMemory::overwritten_guard() const {
  if (generic_ == nullptr) return 0;
  address_sanitizer::unpoison(mapping_, mapping_bytes_);
  const unsigned char* const end = generic_ + bytes_;
  const unsigned char* const mapping_end = mapping_ + mapping_bytes_;
  if (is_guard_intact(mapping_, generic_) && is_guard_intact(end, mapping_end)) return 0;
  for (const unsigned char* byte = generic_ - 1; byte >= mapping_; --byte) {
    if (*byte != guard_value(byte)) return byte - generic_;
  }
  for (const unsigned char* byte = end; byte < mapping_end; ++byte) {
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
