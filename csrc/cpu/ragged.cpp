#include "cpu/ragged.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "cpu/products.h"
#include "ragged_aten.h"

namespace per_step_dense::cpu::ragged {
namespace {

using at::Tensor;

// Where torch has longer vectors, products larger than those that have been measured are left to
// it. Up to there it is slower (AMD EPYC with AVX-512): each costs a call, and all threads share
// one.
constexpr int64_t kLargeProduct = 1 << 22;  // multiply-adds

// A step's rows, and how far it is to the next row and column.
template <class Element>
struct RowsOfStep {
  Element* first;
  int64_t row, column;
};

// Of a tensor that is packed or sorted. What is empty may have no memory.
int64_t offset_of_step(const Tensor& tensor, const RaggedRows& rows, int64_t t) {
  if (tensor.numel() == 0) return 0;
  return tensor.dim() == 2 ? rows.begin[t] * tensor.stride(0) : t * tensor.stride(1);
}

RowsOfStep<const float> read_step(const Tensor& tensor, const RaggedRows& rows, int64_t t) {
  return {tensor.const_data_ptr<float>() + offset_of_step(tensor, rows, t), tensor.stride(0),
          tensor.stride(-1)};
}

RowsOfStep<float> write_step(const Tensor& tensor, const RaggedRows& rows, int64_t t) {
  return {tensor.mutable_data_ptr<float>() + offset_of_step(tensor, rows, t), tensor.stride(0), 1};
}

int64_t steps_of(const RaggedRows& rows) { return int64_t(rows.count.size()); }

Products once(const Product& product) { return {product, 0, 0, 0}; }

// What a step's rows are multiplied by: (K, N) and, where there is one, a bias (N).
Product of_rows(const RowsOfStep<const float>& x, const Tensor& matrix, int64_t count) {
  Product product{count, matrix.size(1), matrix.size(0)};
  product.a = x.first;
  product.a_row = x.row, product.a_col = x.column;
  product.b = matrix.const_data_ptr<float>();
  product.b_row = matrix.stride(0), product.b_col = matrix.stride(1);
  return product;
}

}  // namespace

bool serves(const Tensor& tensor, const RaggedRows& rows, int64_t in_features,
            int64_t out_features) {
  if (tensor.scalar_type() != at::kFloat || !tensor.is_cpu() || !kernels_or_null()) return false;
  const int64_t steps = std::max<int64_t>(steps_of(rows), 1);
  return has_torchs_vectors() || rows.total / steps * in_features * out_features < kLargeProduct;
}

std::tuple<Tensor, Tensor> forward(const Tensor& x, const Tensor& weight,
                                   const std::optional<Tensor>& bias, const RaggedRows& rows,
                                   Activation activation, bool wants_z) {
  const int64_t o = weight.size(2);
  const Tensor y = new_ragged_rows(rows, x, o),
               z = wants_z ? new_ragged_rows(rows, x, o) : Tensor();
  if (y.numel() == 0) return {y, z};
  std::vector<Products> all;
  for (int64_t t = 0; t < steps_of(rows); ++t) {
    if (rows.count[t] == 0) continue;
    Product product = of_rows(read_step(x, rows, t), weight.select(0, t), rows.count[t]);
    const RowsOfStep<float> own_y = write_step(y, rows, t);
    product.c = wants_z ? write_step(z, rows, t).first : own_y.first;
    product.c_row = own_y.row;
    if (bias) {
      product.bias = bias->const_data_ptr<float>() + t * bias->stride(0);
      product.bias_stride = bias->stride(1);
    }
    product.activation = activation;
    if (wants_z || activation != Activation::kNone) product.activated = own_y.first;
    all.push_back(once(product));
  }
  compute_each(std::move(all));
  return {y, z};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight,
                                            const RaggedRows& rows, bool wants_dbias) {
  const int64_t steps = steps_of(rows), o = dz.size(-1);
  const bool finds_dbias = wants_dbias && x && x->size(-1) > 0;  // on the way to dweight
  Tensor dx, dweight, dbias, sums;
  if (weight) dx = new_ragged_rows(rows, dz, weight->size(1));
  if (x) dweight = at::empty({steps, x->size(-1), o}, dz.options());
  if (finds_dbias) sums = at::zeros({steps, o}, dz.options().dtype(at::kDouble));
  std::vector<Products> all;
  for (int64_t t = 0; t < steps; ++t) {
    const RowsOfStep<const float> own_dz = read_step(dz, rows, t);
    if (weight && rows.count[t] > 0 && dx.numel() > 0) {
      Product product = of_rows(own_dz, weight->select(0, t).t(), rows.count[t]);
      const RowsOfStep<float> own_dx = write_step(dx, rows, t);
      product.c = own_dx.first, product.c_row = own_dx.row;
      all.push_back(once(product));
    }
    if (!x) continue;
    const RowsOfStep<const float> own_x = read_step(*x, rows, t);
    Product product{x->size(-1), o, rows.count[t]};
    product.a = own_x.first;
    product.a_row = own_x.column, product.a_col = own_x.row;
    product.b = own_dz.first;
    product.b_row = own_dz.row, product.b_col = own_dz.column;
    product.c = dweight.mutable_data_ptr<float>() + t * product.m * o, product.c_row = o;
    if (finds_dbias) product.column_sums = sums.mutable_data_ptr<double>() + t * o;
    all.push_back(once(product));
  }
  compute_each(std::move(all));
  if (finds_dbias) dbias = sums.to(at::kFloat);
  if (wants_dbias && !finds_dbias) {
    dbias = std::get<2>(aten::ragged_backward(dz, std::nullopt, std::nullopt, rows, true));
  }
  return {dx, dweight, dbias};
}

}  // namespace per_step_dense::cpu::ragged
