#include "check.h"

#include <ATen/MemoryOverlap.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <initializer_list>
#include <sstream>
#include <string>

#include "kernel_in_force.h"

namespace per_step_dense {
namespace {

using at::Tensor;

bool equal(const c10::SymInt& a, const c10::SymInt& b) {
  return a.sym_eq(b).expect_true(__FILE__, __LINE__);
}

bool equal(c10::SymIntArrayRef a, c10::SymIntArrayRef b) {
  if (a.size() != b.size()) return false;
  for (size_t d = 0; d < a.size(); ++d) {
    if (!equal(a[d], b[d])) return false;
  }
  return true;
}

// As Python prints a tuple.
std::string shape_of(const Tensor& tensor) {
  std::ostringstream text;
  text << '(';
  const auto sizes = tensor.sym_sizes();
  for (size_t d = 0; d < sizes.size(); ++d) text << (d ? ", " : "") << sizes[d];
  text << (sizes.size() == 1 ? ",)" : ")");
  return text.str();
}

// As Python names a dtype.
std::string dtype_of(const Tensor& tensor) {
  return std::string(c10::getDtypeNames(tensor.scalar_type()).first);
}

// As Python names a layout.
const char* layout_of(const Tensor& tensor) {
  switch (tensor.layout()) {
    case at::kStrided:
      return "strided";
    case at::kSparse:
      return "sparse_coo";
    case at::kSparseCsr:
      return "sparse_csr";
    case at::kSparseCsc:
      return "sparse_csc";
    case at::kSparseBsr:
      return "sparse_bsr";
    case at::kSparseBsc:
      return "sparse_bsc";
    case at::kMkldnn:
      return "_mkldnn";
    case at::kJagged:
      return "jagged";
    default:
      return "of another kind";
  }
}

bool is_supported(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kDouble || dtype == at::kHalf ||
         dtype == at::kBFloat16;
}

void check_is_tensor(const char* name, const Tensor& tensor) {
  TORCH_CHECK_TYPE(tensor.defined(), "per_step_dense: ", name,
                   " must be a torch.Tensor; got NoneType");
}

void check_is_dense(const char* name, const Tensor& tensor) {
  check_is_tensor(name, tensor);
  TORCH_CHECK_VALUE(!tensor.is_nested(), "per_step_dense: ", name,
                    " must be a dense tensor; got a nested tensor");
  TORCH_CHECK_TYPE(is_supported(tensor.scalar_type()), "per_step_dense: ", name,
                   " must be float32, float64, float16 or bfloat16; got ", dtype_of(tensor));
  TORCH_CHECK_VALUE(tensor.layout() == at::kStrided, "per_step_dense: ", name,
                    " must be a dense tensor; got layout ", layout_of(tensor));
}

void check_is_beside(const char* name, const Tensor& tensor, const char* first_name,
                     const Tensor& first) {
  TORCH_CHECK_VALUE(tensor.device() == first.device(), "per_step_dense: ", name,
                    " must be on the device of ", first_name, ", ", first.device(), "; got ",
                    tensor.device());
}

// `first` is the argument, named first_name, that the others have to agree with.
void check_belongs_to(const char* name, const Tensor& tensor, const char* first_name,
                      const Tensor& first) {
  TORCH_CHECK_TYPE(tensor.scalar_type() == first.scalar_type(), "per_step_dense: ", name,
                   " must have the dtype of ", first_name, ", ", dtype_of(first), "; got ",
                   dtype_of(tensor));
  check_is_beside(name, tensor, first_name, first);
}

void check_are_dense_and_alike(const Tensor& x, const Tensor& weight,
                               const std::optional<Tensor>& bias) {
  check_is_dense("x", x);
  check_is_dense("weight", weight);
  if (bias) check_is_dense("bias", *bias);
  check_belongs_to("weight", weight, "x", x);
  if (bias) check_belongs_to("bias", *bias, "x", x);
}

void check_is_weight(const Tensor& weight) {
  TORCH_CHECK_VALUE(weight.dim() == 3, "per_step_dense: weight must be (T, I, O), 3-D; got ",
                    shape_of(weight));
}

void check_has_steps_of(const Tensor& x, const Tensor& weight) {
  TORCH_CHECK_VALUE(equal(weight.sym_size(0), x.sym_size(-2)),
                    "per_step_dense: weight must be (T, I, O) with T = x.size(-2) = ",
                    x.sym_size(-2), "; got ", shape_of(weight));
}

void check_has_features_of(const Tensor& x, const Tensor& weight) {
  TORCH_CHECK_VALUE(equal(weight.sym_size(1), x.sym_size(-1)),
                    "per_step_dense: weight must be (T, I, O) with I = x.size(-1) = ",
                    x.sym_size(-1), "; got ", shape_of(weight));
}

void check_is_bias_of(const Tensor& weight, const Tensor& bias) {
  const c10::SymInt t = weight.sym_size(0), o = weight.sym_size(2);
  TORCH_CHECK_VALUE(bias.dim() == 2 && equal(bias.sym_size(0), t) && equal(bias.sym_size(1), o),
                    "per_step_dense: bias must be (T, O) = (", t, ", ", o, "); got ",
                    shape_of(bias));
}

void check_is_beside_gradient(const Tensor& x, const Tensor& dz) {
  check_is_dense("x", x);
  check_belongs_to("x", x, "dz", dz);
  TORCH_CHECK_VALUE(x.dim() == dz.dim() && equal(x.sym_sizes().slice(0, x.dim() - 1),
                                                 dz.sym_sizes().slice(0, dz.dim() - 1)),
                    "per_step_dense: x must have the sizes of dz but the last, of ", shape_of(dz),
                    "; got ", shape_of(x));
}

void check_is_weight_of_gradient(const Tensor& weight, const c10::SymInt& t, const c10::SymInt& o) {
  TORCH_CHECK_VALUE(
      weight.dim() == 3 && equal(weight.sym_size(0), t) && equal(weight.sym_size(2), o),
      "per_step_dense: weight must be (T, I, O) = (", t, ", I, ", o, "); got ", shape_of(weight));
}

void check_is_ragged(const char* name, const char* features, const Tensor& tensor) {
  TORCH_CHECK_VALUE(tensor.dim() == 2 || tensor.dim() == 3, "per_step_dense: ", name,
                    " must be (R, ", features, ") with batch_sizes, or (B, T, ", features,
                    ") with lengths; got ", shape_of(tensor));
}

// The batch sizes of packed rows, or the lengths of padded ones.
void check_are_sizes_of(const char* rows_name, const Tensor& rows, const c10::SymInt& t,
                        const Tensor& sizes) {
  const bool is_packed = rows.dim() == 2;
  const char* const name = is_packed ? "batch_sizes" : "lengths";
  check_is_tensor(name, sizes);
  TORCH_CHECK_TYPE(sizes.scalar_type() == at::kLong, "per_step_dense: ", name,
                   " must be int64; got ", dtype_of(sizes));
  TORCH_CHECK_VALUE(sizes.layout() == at::kStrided && !sizes.is_nested(), "per_step_dense: ", name,
                    " must be a dense tensor; got layout ", layout_of(sizes));
  const bool is_beside_meta = sizes.is_meta() && rows.is_meta();
  TORCH_CHECK_VALUE(sizes.is_cpu() || is_beside_meta, "per_step_dense: ", name,
                    " must be on the CPU; got ", sizes.device());
  TORCH_CHECK_VALUE(sizes.dim() == 1, "per_step_dense: ", name, " must be 1-D; got ",
                    shape_of(sizes));
  if (is_packed) {
    TORCH_CHECK_VALUE(sizes.sym_size(0).sym_le(t).expect_true(__FILE__, __LINE__),
                      "per_step_dense: ", rows_name, " must have at most T = ", t,
                      " steps, as weight has; got ", sizes.sym_size(0));
  } else {
    TORCH_CHECK_VALUE(equal(sizes.sym_size(0), rows.sym_size(0)),
                      "per_step_dense: lengths must be (B,) = (", rows.sym_size(0), ",); got ",
                      shape_of(sizes));
  }
}

// What is added to, for `dz` that the sums are of.
void check_is_accumulator(const char* name, const Tensor& tensor, const Tensor& dz) {
  check_is_dense(name, tensor);
  const bool has_16_bits = dz.element_size() == 2;
  TORCH_CHECK_TYPE(tensor.scalar_type() == dz.scalar_type() ||
                       (has_16_bits && tensor.scalar_type() == at::kFloat),
                   "per_step_dense: ", name, " must have the dtype of dz, ", dtype_of(dz),
                   has_16_bits ? ", or float32; got " : "; got ", dtype_of(tensor));
  check_is_beside(name, tensor, "dz", dz);
}

struct Named {
  const char* name;
  const std::optional<Tensor>& tensor;
};

void check_memory_of_accumulator(const Named& accumulator, std::initializer_list<Named> others) {
  if (!accumulator.tensor) return;
  TORCH_CHECK_VALUE(at::has_internal_overlap(*accumulator.tensor) != at::MemOverlap::Yes,
                    "per_step_dense: ", accumulator.name,
                    " must not overlap itself, as expanded tensors do");
  for (const Named& other : others) {
    if (!other.tensor) continue;
    const auto overlap = at::get_overlap_status(*accumulator.tensor, *other.tensor);
    TORCH_CHECK_VALUE(
        overlap != at::MemOverlapStatus::Full && overlap != at::MemOverlapStatus::Partial,
        "per_step_dense: ", accumulator.name, " must not share memory with ", other.name);
  }
}

bool needs_cuda(KernelFamily family) {
  switch (family) {
    case KernelFamily::kAuto:
    case KernelFamily::kReference:
    case KernelFamily::kAten:
    case KernelFamily::kBatchInvariant:
      return false;
    default:
      return true;
  }
}

}  // namespace

Activation parse_activation(std::string_view name) {
  int32_t value = 0;
  for (const char* known : kActivationNames) {
    if (name == known) return Activation(value);
    ++value;
  }
  std::ostringstream known_names;
  for (const char* known : kActivationNames) {
    known_names << (known == kActivationNames[0] ? "" : ", ") << known;
  }
  TORCH_CHECK_VALUE(false, "per_step_dense: activation must be one of ", known_names.str(),
                    "; got '", name, "'");
}

void check_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  check_are_dense_and_alike(x, weight, bias);
  TORCH_CHECK_VALUE(x.dim() >= 2, "per_step_dense: x must be (*, T, I), at least 2-D; got ",
                    shape_of(x));
  check_is_weight(weight);
  check_has_steps_of(x, weight);
  check_has_features_of(x, weight);
  if (bias) check_is_bias_of(weight, *bias);
}

void check_ragged_forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                          const Tensor& sizes) {
  check_are_dense_and_alike(x, weight, bias);
  check_is_ragged("x", "I", x);
  check_is_weight(weight);
  if (x.dim() == 3) check_has_steps_of(x, weight);
  check_has_features_of(x, weight);
  if (bias) check_is_bias_of(weight, *bias);
  check_are_sizes_of("x", x, weight.sym_size(0), sizes);
}

void check_ragged_backward(const Tensor& dz, const std::optional<Tensor>& x,
                           const std::optional<Tensor>& weight, const Tensor& sizes,
                           const c10::SymInt& steps) {
  check_is_dense("dz", dz);
  check_is_ragged("dz", "O", dz);
  if (dz.dim() == 3) {
    TORCH_CHECK_VALUE(equal(dz.sym_size(1), steps),
                      "per_step_dense: steps must be dz.size(1) = ", dz.sym_size(1), "; got ",
                      steps);
  }
  if (x) check_is_beside_gradient(*x, dz);
  if (weight) {
    check_is_dense("weight", *weight);
    check_belongs_to("weight", *weight, "dz", dz);
    check_is_weight_of_gradient(*weight, steps, dz.sym_size(-1));
  }
  if (x && weight) check_has_features_of(*x, *weight);
  check_are_sizes_of("dz", dz, steps, sizes);
}

void check_backward(const Tensor& dz, const std::optional<Tensor>& x,
                    const std::optional<Tensor>& weight) {
  check_is_dense("dz", dz);
  TORCH_CHECK_VALUE(dz.dim() >= 2, "per_step_dense: dz must be (*, T, O), at least 2-D; got ",
                    shape_of(dz));
  if (x) check_is_beside_gradient(*x, dz);
  if (weight) {
    check_is_dense("weight", *weight);
    check_belongs_to("weight", *weight, "dz", dz);
    check_is_weight_of_gradient(*weight, dz.sym_size(-2), dz.sym_size(-1));
  }
  if (x && weight) check_has_features_of(*x, *weight);
}

void check_backward_accumulate(const Tensor& dz, const std::optional<Tensor>& x,
                               const std::optional<Tensor>& weight,
                               const std::optional<Tensor>& dweight,
                               const std::optional<Tensor>& dbias) {
  check_backward(dz, x, weight);
  TORCH_CHECK_VALUE(x.has_value() == dweight.has_value(),
                    "per_step_dense: x and dweight must be given together; got ",
                    x ? "x" : "dweight", " alone");
  const c10::SymInt t = dz.sym_size(-2), o = dz.sym_size(-1);
  if (dweight) {
    check_is_accumulator("dweight", *dweight, dz);
    const c10::SymInt i = x->sym_size(-1);
    TORCH_CHECK_VALUE(dweight->dim() == 3 && equal(dweight->sym_size(0), t) &&
                          equal(dweight->sym_size(1), i) && equal(dweight->sym_size(2), o),
                      "per_step_dense: dweight must be (T, I, O) = (", t, ", ", i, ", ", o,
                      "); got ", shape_of(*dweight));
  }
  if (!dbias) return;
  check_is_accumulator("dbias", *dbias, dz);
  TORCH_CHECK_VALUE(
      dbias->dim() == 2 && equal(dbias->sym_size(0), t) && equal(dbias->sym_size(1), o),
      "per_step_dense: dbias must be (T, O) = (", t, ", ", o, "); got ", shape_of(*dbias));
  TORCH_CHECK_TYPE(!dweight || dweight->scalar_type() == dbias->scalar_type(),
                   "per_step_dense: dbias must have the dtype of dweight, ", dtype_of(*dweight),
                   "; got ", dtype_of(*dbias));
}

void check_memory_of_accumulators(const Tensor& dz, const std::optional<Tensor>& x,
                                  const std::optional<Tensor>& weight,
                                  const std::optional<Tensor>& dweight,
                                  const std::optional<Tensor>& dbias) {
  const std::optional<Tensor> given_dz = dz;
  const Named inputs[] = {{"dz", given_dz}, {"x", x}, {"weight", weight}};
  check_memory_of_accumulator({"dweight", dweight}, {inputs[0], inputs[1], inputs[2]});
  check_memory_of_accumulator({"dbias", dbias},
                              {inputs[0], inputs[1], inputs[2], {"dweight", dweight}});
}

void check_activation_backward(const Tensor& dy, const Tensor& saved) {
  check_is_dense("dy", dy);
  check_is_dense("saved", saved);
  check_belongs_to("saved", saved, "dy", dy);
  TORCH_CHECK_VALUE(equal(saved.sym_sizes(), dy.sym_sizes()),
                    "per_step_dense: saved must have the shape of dy, ", shape_of(dy), "; got ",
                    shape_of(saved));
}

void check_can_be_counted(const char* name, const Tensor& tensor, const c10::SymInt& features) {
  constexpr double kMost = 0x1p59;  // so that even the bytes of split sums leave 64 bits room
  constexpr double kTile = 256;     // rows and columns at most
  const auto sizes = tensor.sym_sizes();
  const auto at_least_one = [](const c10::SymInt& size) {
    return std::max(double(size.guard_int(__FILE__, __LINE__)), 1.0);
  };
  double rows = 1;  // of a step
  for (size_t d = 0; d + 2 < sizes.size(); ++d) rows *= at_least_one(sizes[d]);
  const double multiply_adds = at_least_one(sizes[sizes.size() - 2]) * (rows + kTile) *
                               (at_least_one(sizes.back()) + kTile) *
                               (at_least_one(features) + kTile);
  TORCH_CHECK_VALUE(multiply_adds < kMost, "per_step_dense: ", name, " of ", shape_of(tensor),
                    " and ", features,
                    " features on the other side are more multiply-adds than are counted, 2^59 in "
                    "tiles of 256");
}

void check_kernel_fits_device(KernelFamily kernel, const char* name, const Tensor& tensor) {
  const bool is_batch_invariant = kernel == KernelFamily::kBatchInvariant;
  if (!needs_cuda(kernel) && !is_batch_invariant) return;
  check_is_tensor(name, tensor);
  const bool fits = tensor.is_cuda() || tensor.is_meta() || (is_batch_invariant && tensor.is_cpu());
  TORCH_CHECK_VALUE(fits, "per_step_dense: ", text_of(kernel), " needs ",
                    is_batch_invariant ? "CPU or CUDA tensors; " : "CUDA tensors; ", name,
                    " is on ", tensor.device());
#ifndef PSD_WITH_CUDA
  TORCH_CHECK_VALUE(!tensor.is_cuda(), "per_step_dense: ", text_of(kernel),
                    " needs CUDA kernels, and this module was built without them");
#endif
}

void check_may_be_added_to(const char* name, const std::optional<Tensor>& tensor) {
  TORCH_CHECK_VALUE(!tensor || !tensor->is_neg(), "per_step_dense: ", name,
                    " must not be a negated view, as of a conjugate's imaginary part");
}

void refuse_to_transform_accumulation() {
  TORCH_CHECK_VALUE(false,
                    "per_step_dense: backward_accumulate cannot serve torch.func transforms or "
                    "forward-mode AD; backward can");
}

void check_composite_may_serve(KernelFamily kernel, const char* what) {
  const bool may_serve = kernel == KernelFamily::kAuto || kernel == KernelFamily::kReference;
  TORCH_CHECK_VALUE(may_serve, "per_step_dense: ", text_of(kernel), " cannot serve ", what,
                    "; only 'auto' and 'reference' can");
}

}  // namespace per_step_dense
