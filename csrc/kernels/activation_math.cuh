// The functions that activations are made of: as exactly as their type, or as the 16 bits that a
// result is rounded to.
#pragma once

#include <type_traits>

#include "kernels/ptx.cuh"
#include "kernels/scalar.cuh"

namespace per_step_dense {

// One name for both precisions: an unqualified exp(float) is the double function on some hosts.
__device__ __forceinline__ float exp_of(float z) { return expf(z); }
__device__ __forceinline__ double exp_of(double z) { return exp(z); }
__device__ __forceinline__ float tanh_of(float z) { return tanhf(z); }
__device__ __forceinline__ double tanh_of(double z) { return tanh(z); }
__device__ __forceinline__ float erf_of(float z) { return erff(z); }
__device__ __forceinline__ double erf_of(double z) { return erf(z); }

template <class Real>
inline constexpr Real kSqrt2OverPi = Real(0.79788456080286535588);
template <class Real>
inline constexpr Real kGeluTanhCubic = Real(0.044715);

// By torch's own formulas, in float or double.
template <class Real>
struct ExactMath {
  static __device__ __forceinline__ Real logistic(Real z) {
    return Real(1) / (Real(1) + exp_of(-z));
  }
  static __device__ __forceinline__ Real silu(Real z) { return z / (Real(1) + exp_of(-z)); }
  static __device__ __forceinline__ Real tanh(Real z) { return tanh_of(z); }
  static __device__ __forceinline__ Real normal_cdf(Real z) {
    constexpr Real kInvSqrt2 = Real(0.70710678118654752440);
    return Real(0.5) * (Real(1) + erf_of(z * kInvSqrt2));
  }
  static __device__ __forceinline__ Real normal_pdf(Real z) {
    constexpr Real kInvSqrt2Pi = Real(0.39894228040143267794);
    return kInvSqrt2Pi * exp_of(Real(-0.5) * z * z);
  }
  // gelu_tanh's place of normal_cdf.
  static __device__ __forceinline__ Real tanh_cdf(Real z) {
    return Real(0.5) *
           (Real(1) + tanh_of(kSqrt2OverPi<Real> * (z + kGeluTanhCubic<Real> * z * z * z)));
  }
};

// For results of 16 bits, in float: a few instructions each, of which two are approximate ones.
// What they are off by, relative to the function, is at most 4e-5 for normal_cdf (above -4.5;
// below, what z * normal_cdf(z) is off by is under 3e-8) and 4e-6 for all others, where half a unit
// of float16's last place is 2.4e-4.
struct RoundedMath {
  // 1 / (1 + 2^exponent).
  static __device__ __forceinline__ float logistic_of_2(float exponent) {
    return ptx::rcp_approx_ftz(1.0f + ptx::ex2_approx_ftz(exponent));
  }
  static __device__ __forceinline__ float logistic(float z) { return logistic_of_2(-kLog2E * z); }
  static __device__ __forceinline__ float silu(float z) { return z * logistic(z); }
  // By the logistic function but around 0, where that would cancel.
  static __device__ __forceinline__ float tanh(float z) {
    const float w = z * z;
    const float near_0 = z * fmaf(w, fmaf(w, 2.0f / 15, -1.0f / 3), 1.0f);
    return w < 0.0025f ? near_0 : fmaf(-2.0f, logistic_of_2(2 * kLog2E * z), 1.0f);
  }
  // The logit of normal_cdf is nearly straight; fitted over |z| <= 4.5 by least squares, weighted
  // until the largest errors were alike.
  static __device__ __forceinline__ float normal_cdf(float z) {
    const float w = z * z;
    float p = -3.3152118861773243e-09f;
    p = fmaf(p, w, 2.733941565685866e-07f);
    p = fmaf(p, w, -9.001595358257296e-06f);
    p = fmaf(p, w, 0.00013426652890033587f);
    p = fmaf(p, w, 0.0002179722556104403f);
    p = fmaf(p, w, -0.10508970876314473f);
    p = fmaf(p, w, -2.30206131387739f);
    return logistic_of_2(z * p);
  }
  static __device__ __forceinline__ float normal_pdf(float z) {
    constexpr float kInvSqrt2Pi = 0.39894228040143267794f;
    return kInvSqrt2Pi * ptx::ex2_approx_ftz(-0.5f * kLog2E * z * z);
  }
  static __device__ __forceinline__ float tanh_cdf(float z) {
    constexpr float kSlope = -2 * kLog2E * kSqrt2OverPi<float>;
    return logistic_of_2(z * fmaf(z * z, kSlope * kGeluTanhCubic<float>, kSlope));
  }

  static constexpr float kLog2E = 1.44269504088896340736f;
};

template <class Scalar>
using MathOf = std::conditional_t<sizeof(Scalar) == 2, RoundedMath, ExactMath<AccumOf<Scalar>>>;

}  // namespace per_step_dense
