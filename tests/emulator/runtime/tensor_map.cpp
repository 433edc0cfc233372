#include "runtime/tensor_map.h"

#include <cuda.h>

#include "runtime/cluster.h"
#include "runtime/driver.h"
#include "runtime/failure.h"

namespace {

// 0 of a type that is not modelled.
uint8_t bytes_of(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
      return 2;
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32:
      return 4;
  }
  return 0;
}

}  // namespace

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
    // Stricter than what is documented, for nobody here has seen a driver that takes it.
    if (stride == 0) return "a stride is 0";
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

void check_tensor_map(const TensorMap* map, const char* instruction) {
  if (reinterpret_cast<uintptr_t>(map) % alignof(TensorMap) != 0) {
    fail("tma", "%s: the tensor map is not %zu-byte aligned", instruction, alignof(TensorMap));
  }
  if (this_block().shared.contains(map)) {
    fail("tma", "%s: the tensor map lies in shared memory", instruction);
  }
  if (map->magic != TensorMap::kMagic) {
    fail("tma", "%s: the tensor map was never encoded", instruction);
  }
}

void check_box(const TensorMap& map, uint32_t smem, SharedMemory& shared, const char* instruction) {
  // Stricter than the ISA, which asks for 128: otherwise the pattern would start mid-period.
  const uint32_t alignment = 128u << map.swizzle_bits;
  if (smem % alignment != 0) {
    fail("tma", "%s: shared address 0x%x is not %u-byte aligned", instruction, smem, alignment);
  }
  shared.generic(smem, map.box_bytes(), instruction);
}

}  // namespace emulator

CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                void* base, const cuuint64_t* extents, const cuuint64_t* strides,
                                const cuuint32_t* box, const cuuint32_t* element_strides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  const CUresult result = emulator::this_driver().encoder_result;
  if (result != CUDA_SUCCESS) return result;
  const bool is_modelled =
      rank == 3 && bytes_of(type) != 0 && interleave == CU_TENSOR_MAP_INTERLEAVE_NONE &&
      swizzle >= CU_TENSOR_MAP_SWIZZLE_NONE && swizzle <= CU_TENSOR_MAP_SWIZZLE_128B &&
      promotion >= CU_TENSOR_MAP_L2_PROMOTION_NONE &&
      promotion <= CU_TENSOR_MAP_L2_PROMOTION_L2_256B && fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  if (!is_modelled || reinterpret_cast<uintptr_t>(map) % alignof(CUtensorMap) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUtensorMap encoded{};
  encoded.element_bytes = bytes_of(type);
  encoded.rounds_to_tf32 = type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
  encoded.swizzle_bits = static_cast<uint8_t>(swizzle);
  encoded.base = static_cast<unsigned char*>(base);
  for (int dim = 0; dim < 3; ++dim) {
    if (element_strides[dim] != 1) return CUDA_ERROR_INVALID_VALUE;
    encoded.extent[dim] = extents[dim];
    encoded.box[dim] = box[dim];
  }
  encoded.stride[0] = strides[0];
  encoded.stride[1] = strides[1];
  if (emulator::tensor_map_error(encoded) != nullptr) return CUDA_ERROR_INVALID_VALUE;
  encoded.magic = emulator::TensorMap::kMagic;
  *map = encoded;
  return CUDA_SUCCESS;
}
