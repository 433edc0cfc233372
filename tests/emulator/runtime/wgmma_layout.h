// Where a wgmma operand's elements lie in shared memory: the matrix descriptor of the PTX ISA.
//
// The formulas are those of CUTLASS's canonical layouts (cute/atom/mma_traits_sm90_gmma.hpp); for
// 16-bit elements they were compared with CuTe's own, element by element.
#pragma once

#include <cstdint>

#include "runtime/tensor_map.h"

namespace emulator {

struct WgmmaDescriptor {
  uint32_t start;
  uint32_t leading_bytes;  // LBO
  uint32_t stride_bytes;   // SBO
  int swizzle_bits;        // 0: none, 1: 32 bytes, 2: 64 bytes, 3: 128 bytes
};

// Null when the descriptor is well formed.
inline const char* wgmma_descriptor_error(uint64_t bits) {
  if ((bits >> 49 & 0x7) != 0) return "a base offset, which is not modelled";
  constexpr uint64_t kReserved =
      (0x3ull << 14) | (0x3ull << 30) | (0x7ull << 46) | (0x3ffull << 52);
  if ((bits & kReserved) != 0) return "reserved bits set";
  return nullptr;
}

inline WgmmaDescriptor decode_wgmma_descriptor(uint64_t bits) {
  const auto field = [bits](int shift) {
    return static_cast<uint32_t>(bits >> shift & 0x3fff) << 4;
  };
  const int layout = static_cast<int>(bits >> 62);  // 0: none, 1: 128 bytes, 2: 64, 3: 32
  return {field(0), field(16), field(32), layout == 0 ? 0 : 4 - layout};
}

// The shared address of element (mn, k) of an operand along k, in elements of so many bytes.
inline uint32_t wgmma_address_along_k(const WgmmaDescriptor& descriptor, int mn_index, int k_index,
                                      uint32_t element_bytes) {
  const auto mn = static_cast<uint32_t>(mn_index);
  const uint32_t k_bytes = static_cast<uint32_t>(k_index) * element_bytes;
  const uint32_t chunks = 1u << descriptor.swizzle_bits;  // of 16 bytes, in a swizzle row
  const uint32_t k_chunk_bytes = descriptor.swizzle_bits != 0 ? 16 : descriptor.leading_bytes;
  const uint32_t offset = (mn % 8) * 16 * chunks + (mn / 8) * descriptor.stride_bytes +
                          (k_bytes / 16) * k_chunk_bytes + k_bytes % 16;
  return swizzled(descriptor.start + offset, descriptor.swizzle_bits);
}

// The same of an operand along its rows, whose elements have 16 bits.
inline uint32_t wgmma_address_along_mn(const WgmmaDescriptor& descriptor, int mn_index,
                                       int k_index) {
  const auto mn = static_cast<uint32_t>(mn_index);
  const auto k = static_cast<uint32_t>(k_index);
  const uint32_t lbo = descriptor.leading_bytes;
  const uint32_t sbo = descriptor.stride_bytes;
  const uint32_t chunks = 1u << descriptor.swizzle_bits;
  const uint32_t row_elements = 8 * chunks;

  uint32_t offset;
  if (descriptor.swizzle_bits != 0) {
    offset =
        (mn % row_elements) * 2 + (mn / row_elements) * lbo + (k % 8) * 16 * chunks + (k / 8) * sbo;
  } else {  // LBO and SBO trade places
    offset = (mn % 8) * 2 + (mn / 8) * sbo + (k % 8) * 16 + (k / 8) * lbo;
  }
  return swizzled(descriptor.start + offset, descriptor.swizzle_bits);
}

}  // namespace emulator
