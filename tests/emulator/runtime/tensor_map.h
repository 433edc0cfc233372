// A tensor map of rank 3, and the walk over the rows of a box.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace emulator {

// Stands in for the 128 opaque bytes of a CUtensorMap.
struct alignas(64) TensorMap {
  static constexpr uint32_t kMagic = 0x7e4501;

  uint32_t magic;
  uint8_t element_bytes;
  uint8_t swizzle_bits;  // 0: none, 1: 32 bytes, 2: 64 bytes, 3: 128 bytes
  bool rounds_to_tf32;   // what is loaded
  unsigned char* base;
  uint64_t extent[3];  // in elements, the innermost first
  uint64_t stride[2];  // in bytes, of the second and the third dimension
  uint32_t box[3];

  size_t row_bytes() const { return size_t{box[0]} * element_bytes; }
  size_t box_bytes() const { return row_bytes() * box[1] * box[2]; }
};
static_assert(sizeof(TensorMap) == 128, "as large as a CUtensorMap");

// What the driver checks when it encodes a map; null when all is well.
const char* tensor_map_error(const TensorMap& map);

// The XOR swizzle of TMA and wgmma: bits [4, 4 + b) of the shared address with bits [7, 7 + b).
inline uint32_t swizzled(uint32_t address, int bits) {
  return address ^ ((address >> 7) & ((1u << bits) - 1)) << 4;
}

constexpr uint32_t kChunkBytes = 16;  // TMA moves whole ones

// One row of a box: its first shared address before swizzling, the global address of its first byte
// (which may lie outside the tensor), and the bytes of it that lie inside.
struct BoxRow {
  uint32_t smem;
  unsigned char* gmem;
  int64_t first_byte;
  int64_t end_byte;
};

template <class Visit>
void for_each_row(const TensorMap& map, const std::array<int, 3>& coordinate, uint32_t smem,
                  Visit&& visit) {
  const auto is_inside = [](int64_t index, uint64_t extent) {
    return index >= 0 && static_cast<uint64_t>(index) < extent;
  };
  const int64_t element_bytes = map.element_bytes;
  const int64_t columns_left = static_cast<int64_t>(map.extent[0]) - coordinate[0];
  const int64_t begin = coordinate[0] < 0 ? -int64_t{coordinate[0]} : 0;
  const int64_t end = columns_left < map.box[0] ? columns_left : map.box[0];

  for (uint32_t outer = 0; outer < map.box[2]; ++outer) {
    for (uint32_t middle = 0; middle < map.box[1]; ++middle) {
      const int64_t index1 = int64_t{coordinate[1]} + middle;
      const int64_t index2 = int64_t{coordinate[2]} + outer;
      BoxRow row{smem, nullptr, 0, 0};
      if (is_inside(index1, map.extent[1]) && is_inside(index2, map.extent[2]) && begin < end) {
        row.gmem = map.base + coordinate[0] * element_bytes +
                   index1 * static_cast<int64_t>(map.stride[0]) +
                   index2 * static_cast<int64_t>(map.stride[1]);
        row.first_byte = begin * element_bytes;
        row.end_byte = end * element_bytes;
      }
      visit(row);
      smem += static_cast<uint32_t>(map.row_bytes());
    }
  }
}

class SharedMemory;

// Fails unless `map` may be given to an instruction.
void check_tensor_map(const TensorMap* map, const char* instruction);
// Fails unless `smem` may hold one of its boxes.
void check_box(const TensorMap& map, uint32_t smem, SharedMemory& shared, const char* instruction);

}  // namespace emulator
