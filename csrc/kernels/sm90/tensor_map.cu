#include <array>
#include <cstring>

#include "direct_mapped_cache.h"
#include "kernels/sm90/tensor_map.h"

namespace per_step_dense::sm90 {
namespace {

using Encoder = decltype(&cuTensorMapEncodeTiled);

// Null where the driver has none.
Encoder find_encoder() {
  constexpr unsigned kCudaVersion = 12000;  // the first that had it
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t status = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &found, kCudaVersion, cudaEnableDefault, &result);
  const bool is_found = status == cudaSuccess && result == cudaDriverEntryPointSuccess;
  return is_found ? reinterpret_cast<Encoder>(found) : nullptr;
}

CUtensorMapDataType type_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::kBFloat16:
      return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::kTFloat32:
      return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;
    default:
      return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  }
}

CUresult encode(const BoxedTensor& tensor, CUtensorMap& map) {
  static const Encoder encoder = find_encoder();
  if (!encoder) return CUDA_ERROR_NOT_SUPPORTED;
  cuuint64_t extents[3], strides[2];
  cuuint32_t box[3];
  for (int dim = 0; dim < 3; ++dim) extents[dim] = cuuint64_t(tensor.extent[dim]);
  for (int dim = 0; dim < 2; ++dim) strides[dim] = cuuint64_t(tensor.stride_bytes[dim]);
  for (int dim = 0; dim < 3; ++dim) box[dim] = cuuint32_t(tensor.box[dim]);
  constexpr cuuint32_t kElementStrides[] = {1, 1, 1};
  // Beside a box's 128 bytes lie those of the next one along the row.
  return encoder(&map, type_of(tensor.dtype), 3, tensor.data, extents, strides, box,
                 kElementStrides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

using Key = std::array<int64_t, sizeof(BoxedTensor) / sizeof(int64_t)>;
static_assert(sizeof(Key) == sizeof(BoxedTensor), "or a part of the key is left out");

}  // namespace

bool can_encode_tensor_maps() { return find_encoder() != nullptr; }

cudaError_t encode_tensor_map(const BoxedTensor& tensor, CUtensorMap& map) {
  static thread_local DirectMappedCache<Key, CUtensorMap> cache;
  Key key;
  std::memcpy(&key, &tensor, sizeof key);
  CUresult status = CUDA_SUCCESS;
  const auto encode_anew = [&](CUtensorMap& encoded) {
    status = encode(tensor, encoded);
    return status == CUDA_SUCCESS;
  };
  if (const CUtensorMap* found = cache.find_or_make(key, encode_anew)) map = *found;
  return static_cast<cudaError_t>(status);
}

}  // namespace per_step_dense::sm90
