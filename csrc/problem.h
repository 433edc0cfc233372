// What the kernels compute, in plain structs: pointers, extents, strides. Torch is not known here.
//
// Extents and strides are 64-bit and count elements. A stride may be anything a torch view can
// have, 0 included; outputs do not overlap themselves.
#pragma once

#include <cstdint>

#include "activation.h"

namespace per_step_dense {

enum class DType : int32_t {
  kFloat32,
  kFloat64,
  kFloat16,
  kBFloat16,
  kTFloat32,  // float32 elements that products may round to tfloat32; sums stay float32
};

inline constexpr const char* kDTypeNames[] = {"float32", "float64", "float16", "bfloat16",
                                              "tfloat32"};

constexpr const char* name_of(DType dtype) { return kDTypeNames[static_cast<int32_t>(dtype)]; }

constexpr bool has_16_bits(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}

constexpr int64_t bytes_of(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : has_16_bits(dtype) ? 2 : 4;
}

// 16-bit types are summed in float32.
constexpr int64_t accum_bytes_of(DType dtype) { return dtype == DType::kFloat64 ? 8 : 4; }

// A strided view with three dimensions, named where it is used. A null pointer says "absent".
struct View3 {
  void* data;
  int64_t stride[3];
};

struct View2 {
  void* data;
  int64_t stride[2];
};

// Rows that differ from step to step, such as those of a packed sequence: step t has the rows
// begin[t] ... begin[t] + count[t] - 1 of all B, in memory that the kernels read. Rows of no step
// are not written, and no result depends on them. Where begin is null, every step has all rows.
struct RowRanges {
  const int64_t* begin;  // (T)
  const int64_t* count;  // (T)
  // What the host knows of count. Kernels may leave out what there is more of.
  int64_t total, most;  // the sum and the largest
};

// y[b, t, :] = activation(x[b, t, :] @ weight[t] + bias[t])
struct ForwardProblem {
  int64_t b, t, i, o;
  DType dtype;
  Activation activation;
  RowRanges rows;
  View3 x;       // (B, T, I)
  View3 weight;  // (T, I, O)
  View2 bias;    // (T, O), or absent
  View3 y;       // (B, T, O)
  View3 z;       // (B, T, O) the value before the activation, or absent
};

// What becomes of the gradients of weight and bias. Sums are rounded once, after the addition.
enum class Accumulation : int32_t {
  kOverwrite,   // they are written, whatever was there
  kAdd,         // they are added to what is there
  kAddFloat32,  // likewise, where 16-bit elements have gradients in float32
};

// The gradients of z = x @ weight + bias, given dz. An absent output is not computed.
struct BackwardProblem {
  int64_t b, t, i, o;
  DType dtype;
  Accumulation accumulation;  // of dweight and dbias
  RowRanges rows;
  View3 dz;       // (B, T, O)
  View3 x;        // (B, T, I), read only for dweight
  View3 weight;   // (T, I, O), read only for dx
  View3 dx;       // (B, T, I) = dz @ weight^T, or absent
  View3 dweight;  // (T, I, O) = x^T @ dz, or += where it accumulates, or absent
  View2 dbias;    // (T, O)    = dz summed over b, likewise
};

// A backward by its products: the gradient of x, then that of weight with the bias's.
struct BackwardParts {
  BackwardProblem grad_input, grad_weight;
};

inline BackwardParts parts_of(const BackwardProblem& problem) {
  BackwardParts parts{problem, problem};
  parts.grad_input.x = parts.grad_input.dweight = {};
  parts.grad_input.dbias = {};
  parts.grad_weight.weight = parts.grad_weight.dx = {};
  return parts;
}

// Of the elements of dweight and dbias.
constexpr DType dtype_of_parameter_gradients(const BackwardProblem& problem) {
  return problem.accumulation == Accumulation::kAddFloat32 ? DType::kFloat32 : problem.dtype;
}

// dz = dy * activation'(saved); saved is y or z, as differentiates_from_z() says.
struct ActivationBackwardProblem {
  int64_t b, t, o;
  DType dtype;
  Activation activation;
  View3 dy;     // (B, T, O)
  View3 saved;  // (B, T, O)
  View3 dz;     // (B, T, O)
};

}  // namespace per_step_dense
