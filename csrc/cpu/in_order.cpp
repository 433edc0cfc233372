#include "cpu/in_order.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "cpu/parallel.h"
#include "cpu/rows_of_step.h"

namespace per_step_dense::cpu::in_order {
namespace {

using at::Tensor;

constexpr double kInverseSqrt2 = 0.70710678118654752440, kInverseSqrt2Pi = 0.39894228040143267794;
constexpr double kSqrt2OverPi = 0.79788456080286535588, kCubic = 0.044715;

double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
double normal_cdf(double z) { return 0.5 * std::erfc(-z * kInverseSqrt2); }
double gelu_tanh_of(double z) { return std::tanh(kSqrt2OverPi * (z + kCubic * z * z * z)); }

double activated(double z, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return z;
    case Activation::kRelu:
      return z < 0 ? 0 : z;  // NaN stays
    case Activation::kGelu:
      return z * normal_cdf(z);
    case Activation::kGeluTanh:
      return 0.5 * z * (1 + gelu_tanh_of(z));
    case Activation::kSilu:
      return z * sigmoid(z);
    case Activation::kTanh:
      return std::tanh(z);
    case Activation::kSigmoid:
      return sigmoid(z);
  }
  return z;
}

double differentiated(double dy, double saved, Activation activation) {
  switch (activation) {
    case Activation::kNone:
      return dy;
    case Activation::kRelu:
      return saved <= 0 ? 0 : dy;
    case Activation::kGelu: {
      const double density = kInverseSqrt2Pi * std::exp(-0.5 * saved * saved);
      return dy * (normal_cdf(saved) + saved * density);
    }
    case Activation::kGeluTanh: {
      const double t = gelu_tanh_of(saved);
      const double inner = kSqrt2OverPi * (1 + 3 * kCubic * saved * saved);
      return dy * (0.5 * (1 + t) + 0.5 * saved * (1 - t * t) * inner);
    }
    case Activation::kSilu: {
      const double sigma = sigmoid(saved);
      return dy * sigma * (1 + saved * (1 - sigma));
    }
    case Activation::kTanh:
      return dy * (1 - saved * saved);
    case Activation::kSigmoid:
      return dy * (1 - saved) * saved;
  }
  return dy;
}

struct Matrix {
  const double* data;
  int64_t rows, columns, row, column;  // strides last

  explicit Matrix(const Tensor& tensor)
      : data(tensor.const_data_ptr<double>()),
        rows(tensor.size(0)),
        columns(tensor.size(1)),
        row(tensor.stride(0)),
        column(tensor.stride(1)) {}
};

// to = from @ matrix, one row: every sum in the order of its terms.
void multiply_row(const double* from, int64_t stride, const Matrix& matrix, double* to) {
  std::fill_n(to, matrix.columns, 0);
  for (int64_t k = 0; k < matrix.rows; ++k) {
    const double factor = from[k * stride];
    const double* term = matrix.data + k * matrix.row;
    for (int64_t n = 0; n < matrix.columns; ++n) to[n] += factor * term[n * matrix.column];
  }
}

// Calls finish(t, m, z) for the row m of each step t, whose product lies at z.
template <class Finish>
void multiply(const Tensor& from, const Tensor& matrices, const RaggedRows& rows, const Tensor& to,
              const Finish& finish) {
  if (to.numel() == 0) return;
  run_in_parallel(steps_of(rows), [&](int64_t t, int64_t end) {
    for (; t < end; ++t) {
      const Matrix matrix(matrices.select(0, t));
      const RowsOfStep<const double> read = read_step<double>(from, rows, t);
      const RowsOfStep<double> written = write_step<double>(to, rows, t);
      for (int64_t m = 0; m < rows.count[t]; ++m) {
        double* const z = written.first + m * written.row;
        // Of rows without elements there may be no memory.
        const double* const row = matrix.rows > 0 ? read.first + m * read.row : nullptr;
        multiply_row(row, read.column, matrix, z);
        finish(t, m, z);
      }
    }
  });
}

}  // namespace

std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& weight,
                                   const std::optional<Tensor>& bias, const RaggedRows& rows,
                                   Activation activation, bool wants_z) {
  const int64_t o = weight.size(2);
  const Tensor y = new_ragged_rows(rows, x, o),
               z = wants_z ? new_ragged_rows(rows, x, o) : Tensor();
  multiply(x, weight, rows, wants_z ? z : y, [&](int64_t t, int64_t m, double* own_z) {
    if (bias) {
      const double* const own_bias = bias->const_data_ptr<double>() + t * bias->stride(0);
      for (int64_t n = 0; n < o; ++n) own_z[n] += own_bias[n * bias->stride(1)];
    }
    const RowsOfStep<double> written = write_step<double>(y, rows, t);
    double* const own_y = written.first + m * written.row;
    for (int64_t n = 0; n < o; ++n) own_y[n] = activated(own_z[n], activation);
  });
  return {y, z};
}

Tensor input_gradient(const Tensor& dz, const Tensor& weight, const RaggedRows& rows) {
  const Tensor dx = new_ragged_rows(rows, dz, weight.size(1));
  multiply(dz, weight.transpose(1, 2), rows, dx, [](int64_t, int64_t, double*) {});
  return dx;
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, Activation activation) {
  constexpr int64_t kElementsATask = 1 << 12;
  const Tensor dz = at::empty(dy.sizes(), dy.options());
  const double *const gradient = dy.const_data_ptr<double>(), *const kept =
                                                                  saved.const_data_ptr<double>();
  double* const to = dz.mutable_data_ptr<double>();
  const int64_t size = dz.numel(), tasks = (size + kElementsATask - 1) / kElementsATask;
  run_in_parallel(tasks, [=](int64_t begin, int64_t end) {
    const int64_t last = std::min(end * kElementsATask, size);
    for (int64_t n = begin * kElementsATask; n < last; ++n) {
      to[n] = differentiated(gradient[n], kept[n], activation);
    }
  });
  return dz;
}

}  // namespace per_step_dense::cpu::in_order
