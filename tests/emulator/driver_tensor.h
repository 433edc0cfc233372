// Tensors of the driver: contiguous, of any element type, read and written as doubles.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "problem.h"

namespace driver {

using per_step_dense::DType;

class Tensor {
 public:
  // An output: full of NaN, whatever the type.
  Tensor(DType dtype, int64_t extent0, int64_t extent1, int64_t extent2)
      : dtype_(dtype),
        extent1_(extent1),
        extent2_(extent2),
        count_(extent0 * extent1 * extent2),
        bytes_(static_cast<size_t>(count_ * per_step_dense::bytes_of(dtype)), 0xff) {}
  // An input of random values.
  Tensor(DType dtype, int64_t extent0, int64_t extent1, int64_t extent2, unsigned seed)
      : Tensor(dtype, extent0, extent1, extent2) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    for (int64_t index = 0; index < count_; ++index) set(index, normal(generator));
  }

  double at(int64_t i, int64_t j, int64_t k) const {
    return get((i * extent1_ + j) * extent2_ + k);
  }
  per_step_dense::View3 view3() { return {bytes_.data(), {extent1_ * extent2_, extent2_, 1}}; }
  per_step_dense::View2 view2() { return {bytes_.data(), {extent2_, 1}}; }

 private:
  template <class Scalar>
  Scalar load(int64_t index) const {
    Scalar value;
    std::memcpy(&value, &bytes_[static_cast<size_t>(index) * sizeof value], sizeof value);
    return value;
  }
  template <class Scalar>
  void store(int64_t index, Scalar value) {
    std::memcpy(&bytes_[static_cast<size_t>(index) * sizeof value], &value, sizeof value);
  }

  double get(int64_t index) const {
    switch (dtype_) {
      case DType::kFloat64:
        return load<double>(index);
      case DType::kFloat16:
        return __half2float(load<__half>(index));
      case DType::kBFloat16:
        return __bfloat162float(load<__nv_bfloat16>(index));
      case DType::kFloat32:
      case DType::kTFloat32:
        break;
    }
    return load<float>(index);
  }
  void set(int64_t index, float value) {
    switch (dtype_) {
      case DType::kFloat64:
        return store<double>(index, value);
      case DType::kFloat16:
        return store(index, __float2half_rn(value));
      case DType::kBFloat16:
        return store(index, __float2bfloat16_rn(value));
      case DType::kFloat32:
        return store(index, value);
      case DType::kTFloat32:
        return store(index, cut_to_tf32(value));
    }
  }

  // So that products round nothing off.
  static float cut_to_tf32(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits &= ~uint32_t{0x1fff};
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  DType dtype_;
  int64_t extent1_, extent2_, count_;
  std::vector<unsigned char> bytes_;
};

}  // namespace driver
