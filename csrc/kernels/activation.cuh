// The activations and their derivatives, in float32, by torch's own formulas.
#pragma once

#include "activation.h"
#include "kernels/cuda.cuh"

namespace per_step_dense {

inline constexpr float kInvSqrt2 = 0.70710678118654752f;
inline constexpr float kInvSqrt2Pi = 0.39894228040143268f;
inline constexpr float kSqrt2OverPi = 0.79788456080286536f;
inline constexpr float kGeluTanhCubic = 0.044715f;

__device__ __forceinline__ float logistic(float z) { return 1.f / (1.f + expf(-z)); }

__device__ __forceinline__ float gelu_tanh_of(float z) {
  return tanhf(kSqrt2OverPi * (z + kGeluTanhCubic * z * z * z));
}

// A run-time switch: the value is uniform over the grid, so the branch costs an epilogue nothing
// that shows, and one kernel serves all activations.
__device__ __forceinline__ float activate(Activation activation, float z) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return z < 0.f ? 0.f : z;  // NaN stays NaN
    case Activation::kGelu:
      return 0.5f * z * (1.f + erff(z * kInvSqrt2));
    case Activation::kGeluTanh:
      return 0.5f * z * (1.f + gelu_tanh_of(z));
    case Activation::kSilu:
      return z / (1.f + expf(-z));
    case Activation::kTanh:
      return tanhf(z);
    case Activation::kSigmoid:
      return logistic(z);
  }
  return z;
}

// dy * activation'(.), where saved is z for the activations that differentiate from z, else y.
__device__ __forceinline__ float activation_gradient(Activation activation, float dy, float saved) {
  switch (activation) {
    case Activation::kNone:
      return dy;
    case Activation::kRelu:
      return saved <= 0.f ? 0.f : dy;
    case Activation::kGelu: {
      const float cdf = 0.5f * (1.f + erff(saved * kInvSqrt2));
      const float pdf = kInvSqrt2Pi * expf(-0.5f * saved * saved);
      return dy * (cdf + saved * pdf);
    }
    case Activation::kGeluTanh: {
      const float tanh_inner = gelu_tanh_of(saved);
      const float inner_slope = kSqrt2OverPi * (1.f + 3.f * kGeluTanhCubic * saved * saved);
      const float tanh_slope = (1.f - tanh_inner * tanh_inner) * inner_slope;
      return dy * (0.5f * (1.f + tanh_inner) + 0.5f * saved * tanh_slope);
    }
    case Activation::kSilu: {
      const float sigma = logistic(saved);
      return dy * sigma * (1.f + saved * (1.f - sigma));
    }
    case Activation::kTanh:
      return dy * (1.f - saved * saved);
    case Activation::kSigmoid:
      return dy * (1.f - saved) * saved;
  }
  return dy;
}

}  // namespace per_step_dense
