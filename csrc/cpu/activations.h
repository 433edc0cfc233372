// The activations and their derivatives, a vector at a time.
//
// Polynomials are minimax fits of the functions that their comments name (least squares, weights
// iterated until the errors were level). NaN passes through everything: comparisons with it are
// false, and what they select then is computed from it.
#pragma once

#include "activation.h"
#include "cpu/vector.h"

namespace per_step_dense::cpu {
namespace {

template <class R>
struct Functions {
  using V = typename R::Vector;
  using N = typename R::Integers;

  static PSD_INLINE V absolute(V x) { return (V)((N)x & 0x7fffffff); }
  static PSD_INLINE V with_sign_of(V magnitude, V x) {
    return (V)((N)magnitude | ((N)x & int32_t(0x80000000)));
  }

  // 2^n (1 + r + r^2 p(r)), where x = n ln 2 + r; |r| <= ln 2 / 2. Relative error 5e-11, and
  // rounding.
  static PSD_INLINE V exp(V x) {
    const V above = x < -104.0f ? V{} - 104.0f : x;
    const V clamped = above > 89.0f ? V{} + 89.0f : above;
    // Adding 1.5 * 2^23 rounds to an integer, which the low bits then hold.
    const V shifted = clamped * 1.44269504f + 12582912.0f;
    const N n = (N)shifted - 0x4b400000;
    const V whole = shifted - 12582912.0f;
    const V r = (clamped - whole * 0.693359375f) + whole * 2.12194440e-4f;
    V p = V{} + 0.00019790347f;
    p = p * r + 0.001394466f;
    p = p * r + 0.008333497f;
    p = p * r + 0.041666295f;
    p = p * r + 0.16666666f;
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    // In two factors, as 2^n alone may be neither normal nor finite where the product is.
    const N half = n >> 1;
    return p * (V)((half + 127) << 23) * (V)((n - half + 127) << 23);
  }

  // x + x p(x^2), from 1 on 1 - exp(q(|x|)).
  static PSD_INLINE V erf(V x) {
    const V t = absolute(x), s = x * x;
    V p = V{} + 7.889119e-05f;
    p = p * s - 0.0008020841f;
    p = p * s + 0.005189535f;
    p = p * s - 0.026854444f;
    p = p * s + 0.112836f;
    p = p * s - 0.37612626f;
    p = p * s + 0.12837917f;
    const V u = t > 4.0f ? V{} + 4.0f : t;  // 1 - erf(4) is less than half a unit of 1
    V q = V{} - 2.1496113e-05f;
    q = q * u + 0.00043910637f;
    q = q * u - 0.004193611f;
    q = q * u + 0.025178967f;
    q = q * u - 0.10837248f;
    q = q * u - 0.63326263f;
    q = q * u - 1.1295568f;
    q = q * u + 0.00018344415f;
    return t > 1.0f ? with_sign_of(1.0f - exp(q), x) : x + x * p;
  }

  // x + x^3 p(x^2), from 0.625 on 1 - 2 / (exp(2 |x|) + 1).
  static PSD_INLINE V tanh(V x) {
    const V t = absolute(x), s = x * x;
    V p = V{} - 0.005717037f;
    p = p * s + 0.020650579f;
    p = p * s - 0.053743497f;
    p = p * s + 0.13331491f;
    p = p * s - 0.33333284f;
    return t > 0.625f ? with_sign_of(1.0f - 2.0f / (exp(t + t) + 1.0f), x) : x + (x * s) * p;
  }

  static PSD_INLINE V sigmoid(V x) { return 1.0f / (1.0f + exp(-x)); }

  static constexpr float kSqrtHalf = 0.70710678f, kInverseSqrt2Pi = 0.39894228f;
  static constexpr float kSqrt2OverPi = 0.79788456f, kCubic = 0.044715f;

  static PSD_INLINE V normal_cdf(V z) { return 0.5f + 0.5f * erf(z * kSqrtHalf); }
  static PSD_INLINE V gelu_tanh_of(V z) { return tanh(kSqrt2OverPi * (z + kCubic * (z * z * z))); }

  template <Activation kActivation>
  static PSD_INLINE V activate(V z) {
    if constexpr (kActivation == Activation::kRelu) return z < 0.0f ? V{} : z;
    if constexpr (kActivation == Activation::kGelu) return z * normal_cdf(z);
    if constexpr (kActivation == Activation::kGeluTanh) {
      return 0.5f * z * (1.0f + gelu_tanh_of(z));
    }
    if constexpr (kActivation == Activation::kSilu) return z / (1.0f + exp(-z));
    if constexpr (kActivation == Activation::kTanh) return tanh(z);
    if constexpr (kActivation == Activation::kSigmoid) return sigmoid(z);
    return z;
  }

  // dy * act'
  template <Activation kActivation>
  static PSD_INLINE V differentiate(V dy, V saved) {
    if constexpr (kActivation == Activation::kRelu) return saved <= 0.0f ? V{} : dy;
    if constexpr (kActivation == Activation::kGelu) {
      const V density = exp(saved * saved * -0.5f) * kInverseSqrt2Pi;
      return dy * (normal_cdf(saved) + saved * density);
    }
    if constexpr (kActivation == Activation::kGeluTanh) {
      const V t = gelu_tanh_of(saved);
      const V inner = kSqrt2OverPi * (1.0f + (3.0f * kCubic) * (saved * saved));
      return dy * (0.5f * (1.0f + t) + 0.5f * saved * (1.0f - t * t) * inner);
    }
    if constexpr (kActivation == Activation::kSilu) {
      const V sigma = sigmoid(saved);
      return dy * (sigma * (1.0f + saved * (1.0f - sigma)));
    }
    if constexpr (kActivation == Activation::kTanh) return dy * (1.0f - saved * saved);
    if constexpr (kActivation == Activation::kSigmoid) return dy * ((1.0f - saved) * saved);
    return dy;
  }
};

// Calls function with the activation as a type.
template <Activation kActivation>
struct ActivationTag {
  static constexpr Activation value = kActivation;
};

template <class F>
PSD_INLINE void visit_activation(Activation activation, const F& function) {
  switch (activation) {
    case Activation::kNone:
      return function(ActivationTag<Activation::kNone>{});
    case Activation::kRelu:
      return function(ActivationTag<Activation::kRelu>{});
    case Activation::kGelu:
      return function(ActivationTag<Activation::kGelu>{});
    case Activation::kGeluTanh:
      return function(ActivationTag<Activation::kGeluTanh>{});
    case Activation::kSilu:
      return function(ActivationTag<Activation::kSilu>{});
    case Activation::kTanh:
      return function(ActivationTag<Activation::kTanh>{});
    case Activation::kSigmoid:
      return function(ActivationTag<Activation::kSigmoid>{});
  }
}

// The last elements of a row go through a vector of their own.
template <class R>
struct Partial {
  using V = typename R::Vector;

  static PSD_INLINE V load(const float* from, int64_t count) {
    V value = {};
    memcpy(&value, from, 4 * count);
    return value;
  }
  static PSD_INLINE void store(float* to, V value, int64_t count) { memcpy(to, &value, 4 * count); }
};

template <class R, Activation kActivation>
void activate_rows(int64_t rows, int64_t columns, int64_t stride, const float* z, float* y) {
  using V = typename R::Vector;
  for (; rows; --rows, z += stride, y += stride) {
    int64_t n = 0;
    for (; n + R::kLanes <= columns; n += R::kLanes) {
      store<V>(y + n, Functions<R>::template activate<kActivation>(load<V>(z + n)));
    }
    if (n == columns) continue;
    const V last = Partial<R>::load(z + n, columns - n);
    const V result = Functions<R>::template activate<kActivation>(last);
    Partial<R>::store(y + n, result, columns - n);
  }
}

template <class R>
void activation_backward(Activation activation, int64_t size, const float* dy, const float* saved,
                         float* dz) {
  using V = typename R::Vector;
  visit_activation(activation, [=](auto tag) {
    constexpr Activation kActivation = decltype(tag)::value;
    int64_t n = 0;
    for (; n + R::kLanes <= size; n += R::kLanes) {
      const V value =
          Functions<R>::template differentiate<kActivation>(load<V>(dy + n), load<V>(saved + n));
      store<V>(dz + n, value);
    }
    if (n == size) return;
    const V value = Functions<R>::template differentiate<kActivation>(
        Partial<R>::load(dy + n, size - n), Partial<R>::load(saved + n, size - n));
    Partial<R>::store(dz + n, value, size - n);
  });
}

}  // namespace
}  // namespace per_step_dense::cpu
