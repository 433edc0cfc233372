#include "runtime/tensor_map.h"

#include <cuda.h>

#include "runtime/block.h"
#include "runtime/failure.h"

namespace emulator {

const char* tensor_map_error(const TensorMap& map) {
  if (reinterpret_cast<uintptr_t>(map.base) % 16 != 0) {
    return "the global address is not 16-byte aligned";
  }
  for (uint64_t extent : map.extent) {
    if (extent == 0 || extent > (uint64_t{1} << 32)) return "an extent is not in 1 .. 2^32";
  }
  for (uint32_t box : map.box) {
    if (box == 0 || box > 256) return "a box extent is not in 1 .. 256";
  }
  for (uint64_t stride : map.stride) {
    if (stride % 16 != 0) return "a stride is not a multiple of 16 bytes";
    if (stride >= (uint64_t{1} << 40)) return "a stride is not below 2^40 bytes";
  }
  if (map.row_bytes() % 16 != 0) return "the box's row is not a multiple of 16 bytes";
  const size_t swizzle_span = size_t{16} << map.swizzle_bits;
  if (map.swizzle_bits != 0 && map.row_bytes() > swizzle_span) {
    return "the box's row exceeds the swizzle's span";
  }
  return nullptr;
}

void check_box(const TensorMap* map, uint32_t smem, const char* instruction) {
  if (map->magic != TensorMap::kMagic) {
    fail("tma", "%s: the tensor map was never encoded", instruction);
  }
  // Stricter than the ISA, which asks for 128: otherwise the pattern would start mid-period.
  const uint32_t alignment = 128u << map->swizzle_bits;
  if (smem % alignment != 0) {
    fail("tma", "%s: shared address 0x%x is not %u-byte aligned", instruction, smem, alignment);
  }
  this_block().shared.generic(smem, map->box_bytes(), instruction);
}

}  // namespace emulator

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                void* base, const cuuint64_t* extents, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* element_strides,
                                CUtensorMapInterleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  if (rank != 3 || type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16) return CUDA_ERROR_INVALID_VALUE;
  *map = CUtensorMap{};
  map->element_bytes = 2;
  map->swizzle_bits = static_cast<uint8_t>(swizzle);
  map->base = static_cast<unsigned char*>(base);
  for (int dim = 0; dim < 3; ++dim) {
    if (element_strides[dim] != 1) return CUDA_ERROR_INVALID_VALUE;
    map->extent[dim] = extents[dim];
    map->box[dim] = box[dim];
  }
  map->stride[0] = strides[0];
  map->stride[1] = strides[1];
  if (emulator::tensor_map_error(*map) != nullptr) return CUDA_ERROR_INVALID_VALUE;
  map->magic = emulator::TensorMap::kMagic;
  return CUDA_SUCCESS;
}
