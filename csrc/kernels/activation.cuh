// The activations and their derivatives, of values that are rounded to Scalar afterwards.
#pragma once

#include "activation.h"
#include "kernels/activation_math.cuh"

namespace per_step_dense {

// A run-time switch: the value is uniform over the grid, so the branch costs an epilogue nothing
// that shows, and one kernel serves all activations.
template <class Scalar>
__device__ __forceinline__ AccumOf<Scalar> activate(Activation activation, AccumOf<Scalar> z) {
  using Real = AccumOf<Scalar>;
  using Math = MathOf<Scalar>;
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return z < Real(0) ? Real(0) : z;  // NaN stays NaN
    case Activation::kGelu:
      return z * Math::normal_cdf(z);
    case Activation::kGeluTanh:
      return z * Math::tanh_cdf(z);
    case Activation::kSilu:
      return Math::silu(z);
    case Activation::kTanh:
      return Math::tanh(z);
    case Activation::kSigmoid:
      return Math::logistic(z);
  }
  return z;
}

template <class Scalar, Activation kActivation, int kCount>
__device__ __forceinline__ void activate_all(AccumOf<Scalar> (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = activate<Scalar>(kActivation, values[i]);
}

// Many values in registers: one branch for all of them, not one each.
template <class Scalar, int kCount>
__device__ __forceinline__ void activate_all(Activation activation,
                                             AccumOf<Scalar> (&values)[kCount]) {
  switch (activation) {
    case Activation::kNone:
      return;
    case Activation::kRelu:
      return activate_all<Scalar, Activation::kRelu>(values);
    case Activation::kGelu:
      return activate_all<Scalar, Activation::kGelu>(values);
    case Activation::kGeluTanh:
      return activate_all<Scalar, Activation::kGeluTanh>(values);
    case Activation::kSilu:
      return activate_all<Scalar, Activation::kSilu>(values);
    case Activation::kTanh:
      return activate_all<Scalar, Activation::kTanh>(values);
    case Activation::kSigmoid:
      return activate_all<Scalar, Activation::kSigmoid>(values);
  }
}

// dy * activation'(.), where saved is z for the activations that differentiate from z, else y.
template <class Scalar>
__device__ __forceinline__ AccumOf<Scalar> activation_gradient(Activation activation,
                                                               AccumOf<Scalar> dy,
                                                               AccumOf<Scalar> saved) {
  using Real = AccumOf<Scalar>;
  using Math = MathOf<Scalar>;
  switch (activation) {
    case Activation::kNone:
      return dy;
    case Activation::kRelu:
      return saved <= Real(0) ? Real(0) : dy;
    case Activation::kGelu:
      return dy * (Math::normal_cdf(saved) + saved * Math::normal_pdf(saved));
    case Activation::kGeluTanh: {
      const Real cdf = Math::tanh_cdf(saved);
      const Real slope =
          Real(2) * kSqrt2OverPi<Real> * (Real(1) + Real(3) * kGeluTanhCubic<Real> * saved * saved);
      return dy * (cdf + saved * (cdf * (Real(1) - cdf) * slope));
    }
    case Activation::kSilu: {
      const Real sigma = Math::logistic(saved);
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
