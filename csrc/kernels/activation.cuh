// The activations and their derivatives by torch's own formulas, in float or double.
#pragma once

#include "activation.h"
#include "kernels/cuda.cuh"

namespace per_step_dense {

// One name for both precisions: an unqualified exp(float) is the double function on some hosts.
__device__ __forceinline__ float exp_of(float z) { return expf(z); }
__device__ __forceinline__ double exp_of(double z) { return exp(z); }
__device__ __forceinline__ float tanh_of(float z) { return tanhf(z); }
__device__ __forceinline__ double tanh_of(double z) { return tanh(z); }
__device__ __forceinline__ float erf_of(float z) { return erff(z); }
__device__ __forceinline__ double erf_of(double z) { return erf(z); }

template <class Real>
inline constexpr Real kInvSqrt2 = Real(0.70710678118654752440);
template <class Real>
inline constexpr Real kInvSqrt2Pi = Real(0.39894228040143267794);
template <class Real>
inline constexpr Real kSqrt2OverPi = Real(0.79788456080286535588);
template <class Real>
inline constexpr Real kGeluTanhCubic = Real(0.044715);

template <class Real>
__device__ __forceinline__ Real logistic(Real z) {
  return Real(1) / (Real(1) + exp_of(-z));
}

template <class Real>
__device__ __forceinline__ Real gelu_tanh_of(Real z) {
  return tanh_of(kSqrt2OverPi<Real> * (z + kGeluTanhCubic<Real> * z * z * z));
}

// A run-time switch: the value is uniform over the grid, so the branch costs an epilogue nothing
// that shows, and one kernel serves all activations.
template <class Real>
__device__ __forceinline__ Real activate(Activation activation, Real z) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return z < Real(0) ? Real(0) : z;  // NaN stays NaN
    case Activation::kGelu:
      return Real(0.5) * z * (Real(1) + erf_of(z * kInvSqrt2<Real>));
    case Activation::kGeluTanh:
      return Real(0.5) * z * (Real(1) + gelu_tanh_of(z));
    case Activation::kSilu:
      return z / (Real(1) + exp_of(-z));
    case Activation::kTanh:
      return tanh_of(z);
    case Activation::kSigmoid:
      return logistic(z);
  }
  return z;
}

namespace detail {
template <Activation kActivation, class Real, int kCount>
__device__ __forceinline__ void activate_all(Real (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = activate(kActivation, values[i]);
}
}  // namespace detail

// Many values in registers: one branch for all of them, not one each.
template <class Real, int kCount>
__device__ __forceinline__ void activate_all(Activation activation, Real (&values)[kCount]) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return detail::activate_all<Activation::kRelu>(values);
    case Activation::kGelu:
      return detail::activate_all<Activation::kGelu>(values);
    case Activation::kGeluTanh:
      return detail::activate_all<Activation::kGeluTanh>(values);
    case Activation::kSilu:
      return detail::activate_all<Activation::kSilu>(values);
    case Activation::kTanh:
      return detail::activate_all<Activation::kTanh>(values);
    case Activation::kSigmoid:
      return detail::activate_all<Activation::kSigmoid>(values);
  }
}

// dy * activation'(.), where saved is z for the activations that differentiate from z, else y.
template <class Real>
__device__ __forceinline__ Real activation_gradient(Activation activation, Real dy, Real saved) {
  switch (activation) {
    case Activation::kNone:
      return dy;
    case Activation::kRelu:
      return saved <= Real(0) ? Real(0) : dy;
    case Activation::kGelu: {
      const Real cdf = Real(0.5) * (Real(1) + erf_of(saved * kInvSqrt2<Real>));
      const Real pdf = kInvSqrt2Pi<Real> * exp_of(Real(-0.5) * saved * saved);
      return dy * (cdf + saved * pdf);
    }
    case Activation::kGeluTanh: {
      const Real tanh_inner = gelu_tanh_of(saved);
      const Real inner_slope =
          kSqrt2OverPi<Real> * (Real(1) + Real(3) * kGeluTanhCubic<Real> * saved * saved);
      const Real tanh_slope = (Real(1) - tanh_inner * tanh_inner) * inner_slope;
      return dy * (Real(0.5) * (Real(1) + tanh_inner) + Real(0.5) * saved * tanh_slope);
    }
    case Activation::kSilu: {
      const Real sigma = logistic(saved);
      return dy * sigma * (Real(1) + saved * (Real(1) - sigma));
    }
    case Activation::kTanh:
      return dy * (Real(1) - saved * saved);
    case Activation::kSigmoid:
      return dy * (Real(1) - saved) * saved;
  }
  return dy;
}

}  // namespace per_step_dense
