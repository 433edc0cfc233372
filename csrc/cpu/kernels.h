// What one thread computes on the CPU, in float32. No torch in here.
#pragma once

#include <cstdint>

#include "activation.h"

namespace per_step_dense::cpu {

// c = a @ b + bias. Strides are in elements and may be anything; 0 is an expanded dimension.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  // (m, k)
  int64_t a_row = 0, a_col = 0;
  const float* b = nullptr;  // (k, n)
  int64_t b_row = 0, b_col = 0;
  float* c = nullptr;  // (m, n), its columns side by side
  int64_t c_row = 0;
  const float* bias = nullptr;  // (n), or null
  int64_t bias_stride = 0;
  Activation activation = Activation::kNone;
  float* activated = nullptr;     // act(c), with the strides of c; may be c itself, or null
  double* column_sums = nullptr;  // (n): the sums of b's columns are added to it, unless null
};

struct Kernels {
  // Rows and columns of c that are computed together: parts of a product begin at multiples.
  int64_t rows, columns;
  int64_t (*workspace_bytes)(int64_t m, int64_t n, int64_t k);
  void (*multiply)(const Product& product, void* workspace);  // aligned to 64 bytes
  // dz = dy * act'; `saved` is z or y, as differentiates_from_z() says.
  void (*activation_backward)(Activation activation, int64_t size, const float* dy,
                              const float* saved, float* dz);
};

#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
#endif

}  // namespace per_step_dense::cpu
