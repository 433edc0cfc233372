// The activations and their derivatives, of values that are rounded to Scalar afterwards.
#pragma once

#include "activation.h"
#include "kernels/activation_math.cuh"

namespace per_step_dense {

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

template <Activation kActivation>
struct ActivationTag {
  static constexpr Activation value = kActivation;
};

// Calls visit(ActivationTag<...>{}): one kernel serves all activations, by a branch that is the
// same for all of the grid. It is a jump to an address from a table, which takes longer than most
// activations: so one for all the values that a thread has at a time, not one each.
template <class Visit>
__device__ __forceinline__ void visit_activation(Activation activation, Visit&& visit) {
  switch (activation) {
    case Activation::kNone:
      return visit(ActivationTag<Activation::kNone>{});
    case Activation::kRelu:
      return visit(ActivationTag<Activation::kRelu>{});
    case Activation::kGelu:
      return visit(ActivationTag<Activation::kGelu>{});
    case Activation::kGeluTanh:
      return visit(ActivationTag<Activation::kGeluTanh>{});
    case Activation::kSilu:
      return visit(ActivationTag<Activation::kSilu>{});
    case Activation::kTanh:
      return visit(ActivationTag<Activation::kTanh>{});
    case Activation::kSigmoid:
      return visit(ActivationTag<Activation::kSigmoid>{});
  }
}

template <class Scalar, int kCount>
__device__ __forceinline__ void activate_all(Activation activation,
                                             AccumOf<Scalar> (&values)[kCount]) {
  visit_activation(activation, [&](auto tag) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] = activate<Scalar>(tag.value, values[i]);
  });
}

}  // namespace per_step_dense
