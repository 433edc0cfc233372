#include "cpu/dense.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "aten.h"
#include "batch.h"
#include "check.h"
#include "cpu/parallel.h"
#include "cpu/products.h"

namespace per_step_dense::cpu::dense {
namespace {

using at::Tensor;

constexpr int64_t kElementsATask = 1 << 14;  // of an activation

// A gradient of few weights is a long sum that one thread would add up alone. Where there are fewer
// blocks of weights than this, it is cut into parts of so many terms. All are constants: the bits
// must not follow from the number of threads.
constexpr int64_t kBlocksEnough = 64, kBlock = 32;
constexpr int64_t kTermsOfAPart = 8192;
// Of many weights, too, when it is so long that its error would outgrow torch's.
constexpr int64_t kMostTerms = 1 << 16;

// y[:, t] = x[:, t] @ weight[t] + bias[t]
Products of_forward(const Tensor& x,       // (B, T, I)
                    const Tensor& weight,  // (T, I, O)
                    const std::optional<Tensor>& bias,
                    const Tensor& y) {  // (*, T, O), contiguous
  const int64_t b = x.size(0), t = x.size(1), i = x.size(2), o = weight.size(2);
  Product first{b, o, i};
  first.a = x.const_data_ptr<float>();
  first.a_row = x.stride(0), first.a_col = x.stride(2);
  first.b = weight.const_data_ptr<float>();
  first.b_row = weight.stride(1), first.b_col = weight.stride(2);
  first.c = y.mutable_data_ptr<float>();
  first.c_row = t * o;
  if (bias) first.bias = bias->const_data_ptr<float>(), first.bias_stride = bias->stride(1);
  return {first, x.stride(1), weight.stride(0), /*c_step=*/o, bias ? bias->stride(0) : 0};
}

// dx[:, t] = dz[:, t] @ weight[t]^T
Products of_input_gradient(const Tensor& dz,      // (B, T, O)
                           const Tensor& weight,  // (T, I, O)
                           const Tensor& dx) {    // (*, T, I), contiguous
  return of_forward(dz, permuted(weight, 0, 2, 1), std::nullopt, dx);
}

int64_t terms_of_a_part(int64_t t, int64_t i, int64_t o) {
  // As doubles: no tensor need have as many elements as there are blocks, and 64 bits may not do.
  const double blocks = double(t) * double(divide_up(i, kBlock)) * double(divide_up(o, kBlock));
  return blocks >= kBlocksEnough ? kMostTerms : kTermsOfAPart;
}

// dweight[t] = x[:, t]^T @ dz[:, t]; the column sums are the gradient of the bias.
Products of_weight_gradient(const Tensor& x,            // (B, T, I)
                            const Tensor& dz,           // (B, T, O)
                            const Tensor& dweight,      // (parts, T, I, O), contiguous
                            double* dbias_in_double) {  // (parts, T, O), zeros, or null
  const int64_t b = x.size(0), t = x.size(1), i = x.size(2), o = dz.size(2);
  Product first{i, o, b};
  first.a = x.const_data_ptr<float>();
  first.a_row = x.stride(2), first.a_col = x.stride(0);
  first.b = dz.const_data_ptr<float>();
  first.b_row = dz.stride(0), first.b_col = dz.stride(2);
  first.c = dweight.mutable_data_ptr<float>();
  first.c_row = o;
  first.column_sums = dbias_in_double;
  Products products{first, x.stride(1), dz.stride(1), /*c_step=*/i * o};
  products.parts_of_sum = dweight.size(0);
  products.terms = terms_of_a_part(t, i, o);
  products.c_part = t * i * o, products.sums_part = t * o;
  return products;
}

// The sum over the first dimension, in its order, in float32.
template <class Element>
Tensor sum_of_parts(const Tensor& parts) {
  if (parts.size(0) == 1 && parts.scalar_type() == at::kFloat) return parts.squeeze(0);
  const Tensor sums = at::empty(parts.sizes().slice(1), parts.options().dtype(at::kFloat));
  const auto* const part = parts.const_data_ptr<Element>();
  auto* const to = sums.mutable_data_ptr<float>();
  const int64_t size = sums.numel();
  for (int64_t n = 0; n < size; ++n) {
    Element sum = part[n];
    for (int64_t p = 1; p < parts.size(0); ++p) sum += part[p * size + n];
    to[n] = static_cast<float>(sum);
  }
  return sums;
}

}  // namespace

bool serves(const Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat && tensor.is_cpu() && has_torchs_vectors() &&
         kernels_or_null();
}

Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
               std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  check_forward(x, weight, bias);
  const Tensor y = at::empty(sizes_with_last(x, weight.size(2)), x.options());
  if (y.numel() == 0) return y;
  const Tensor batch = as_batch(x);
  Products products = of_forward(batch, weight, bias, y);
  products.first.activation = parsed;
  if (parsed != Activation::kNone) products.first.activated = products.first.c;
  compute(batch.size(1), {products});
  return y;
}

std::tuple<Tensor, Tensor> forward_with_preactivation(const Tensor& x, const Tensor& weight,
                                                      const std::optional<Tensor>& bias,
                                                      std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  check_forward(x, weight, bias);
  const auto sizes = sizes_with_last(x, weight.size(2));
  const Tensor y = at::empty(sizes, x.options()), z = at::empty(sizes, x.options());
  if (y.numel() == 0) return {y, z};
  const Tensor batch = as_batch(x);
  Products products = of_forward(batch, weight, bias, z);
  products.first.activation = parsed;
  products.first.activated = y.mutable_data_ptr<float>();
  compute(batch.size(1), {products});
  return {y, z};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz, const std::optional<Tensor>& x,
                                            const std::optional<Tensor>& weight, bool wants_dbias) {
  check_backward(dz, x, weight);
  const Tensor dz_batch = as_batch(dz);
  const int64_t b = dz_batch.size(0), t = dz_batch.size(1), o = dz_batch.size(2);
  const int64_t i = x ? x->size(-1) : weight ? weight->size(1) : 0;
  c10::SmallVector<Products, 2> products;
  Tensor dx, dweight, dbias, x_batch, dweight_parts, dbias_parts;
  if (weight) {
    dx = at::empty(sizes_with_last(dz, i), dz.options());
    products.push_back(of_input_gradient(dz_batch, *weight, dx));
  }
  const bool finds_dbias = wants_dbias && x && i > 0;  // on the way to dweight
  if (x) {
    x_batch = as_batch(*x);
    const int64_t parts = std::max<int64_t>(1, divide_up(b, terms_of_a_part(t, i, o)));
    dweight_parts = at::empty({parts, t, i, o}, dz.options());
    if (finds_dbias) dbias_parts = at::zeros({parts, t, o}, dz.options().dtype(at::kDouble));
    double* const sums = finds_dbias ? dbias_parts.mutable_data_ptr<double>() : nullptr;
    products.push_back(of_weight_gradient(x_batch, dz_batch, dweight_parts, sums));
  }
  compute(t, std::move(products));
  if (x) dweight = sum_of_parts<float>(dweight_parts);
  if (wants_dbias) dbias = finds_dbias ? sum_of_parts<double>(dbias_parts) : dz_batch.sum(0);
  return {dx, dweight, dbias};
}

Tensor backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight,
                           const std::optional<Tensor>& dweight,
                           const std::optional<Tensor>& dbias) {
  check_backward_accumulate(dz, x, weight, dweight, dbias);
  check_memory_of_accumulators(dz, x, weight, dweight, dbias);
  // First, so that nothing has been added yet where there is no memory for it.
  const Tensor dx = weight ? std::get<0>(backward(dz, std::nullopt, weight, false)) : Tensor();
  aten::backward_accumulate(dz, x, std::nullopt, dweight, dbias);
  return dx;
}

Tensor activation_backward(const Tensor& dy, const Tensor& saved, std::string_view activation) {
  const Activation parsed = parse_activation(activation);
  check_activation_backward(dy, saved);
  if (!dy.is_contiguous() || !saved.is_contiguous()) {
    return aten::activation_backward(dy, saved, activation);
  }
  const Tensor dz = at::empty(dy.sizes(), dy.options());
  const int64_t size = dz.numel();
  const float *const gradient = dy.const_data_ptr<float>(), *const kept =
                                                                saved.const_data_ptr<float>();
  float* const to = dz.mutable_data_ptr<float>();
  run_in_parallel(divide_up(size, kElementsATask), [=](int64_t begin, int64_t end) {
    const int64_t first = begin * kElementsATask,
                  count = std::min(end * kElementsATask, size) - first;
    kernels_or_null()->activation_backward(parsed, count, gradient + first, kept + first,
                                           to + first);
  });
  return dz;
}

}  // namespace per_step_dense::cpu::dense
