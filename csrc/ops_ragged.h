// The ops of ragged batches, whatever device they run on: what the arguments say, and padded
// samples in any order packed on the way.
#pragma once

#include "check.h"
#include "kernel_in_force.h"
#include "ops.h"
#include "ragged_composite.h"
#include "ragged_rows.h"

namespace per_step_dense {

// A Backend computes rows that are packed or sorted:
//
//   forward(x, weight, bias, rows, activation, family, wants_z) -> (y, z)
//   backward(dz, x, weight, rows, wants_dbias, family) -> (dx, dweight, dbias)
template <class Backend>
class RaggedOps {
  using Tensor = at::Tensor;
  using Layout = RaggedRows::Layout;

 public:
  static Tensor forward(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias,
                        const Tensor& sizes, std::string_view activation, std::string_view kernel) {
    return std::get<0>(compute(x, weight, bias, sizes, activation, kernel, /*wants_z=*/false));
  }

  static std::tuple<Tensor, Tensor> forward_with_preactivation(
      const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias, const Tensor& sizes,
      std::string_view activation, std::string_view kernel) {
    return compute(x, weight, bias, sizes, activation, kernel, /*wants_z=*/true);
  }

  static std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dz,
                                                     const std::optional<Tensor>& x,
                                                     const std::optional<Tensor>& weight,
                                                     const Tensor& sizes, int64_t steps,
                                                     bool wants_dbias, std::string_view kernel) {
    const KernelFamily family = resolve_kernel(kernel);
    check_kernel_fits_device(family, "dz", dz);
    if (family == KernelFamily::kReference) {
      return composite::ragged_backward(dz, x, weight, sizes, steps, wants_dbias);
    }
    check_ragged_backward(dz, x, weight, sizes, steps);
    const RaggedRows rows = ragged_rows(sizes, dz, steps);
    if (has_all_rows(rows, dz)) return ops::backward(dz, x, weight, wants_dbias, name_of(family));
    if (rows.layout != Layout::kAnyOrder) {
      return Backend::backward(dz, x, weight, rows, wants_dbias, family);
    }
    const Packing packing(rows, sizes, dz);
    const std::optional<Tensor> packed_x = x ? std::optional(packing.pack(*x)) : std::nullopt;
    auto [dx, dweight, dbias] = Backend::backward(packing.pack(dz), packed_x, weight,
                                                  packing.packed_rows(), wants_dbias, family);
    return {dx.defined() ? packing.unpack(dx) : dx, dweight, dbias};
  }

 private:
  static bool has_all_rows(const RaggedRows& rows, const Tensor& tensor) {
    return tensor.dim() == 3 && rows.total == tensor.size(0) * tensor.size(1);
  }

  static std::tuple<Tensor, Tensor> compute(const Tensor& x, const Tensor& weight,
                                            const std::optional<Tensor>& bias, const Tensor& sizes,
                                            std::string_view activation, std::string_view kernel,
                                            bool wants_z) {
    const KernelFamily family = resolve_kernel(kernel);
    check_kernel_fits_device(family, "x", x);
    if (family == KernelFamily::kReference) {
      return composite::ragged_forward_with_preactivation(x, weight, bias, sizes, activation);
    }
    const Activation parsed = parse_activation(activation);
    check_ragged_forward(x, weight, bias, sizes);
    const RaggedRows rows = ragged_rows(sizes, x, weight.size(0));
    if (has_all_rows(rows, x)) {
      return compute_all(x, weight, bias, activation, name_of(family), wants_z);
    }
    if (rows.layout != Layout::kAnyOrder) {
      return Backend::forward(x, weight, bias, rows, parsed, family, wants_z);
    }
    const Packing packing(rows, sizes, x);
    auto [y, z] = Backend::forward(packing.pack(x), weight, bias, packing.packed_rows(), parsed,
                                   family, wants_z);
    return {packing.unpack(y), wants_z ? packing.unpack(z) : z};
  }

  // No sample ends before the last step.
  static std::tuple<Tensor, Tensor> compute_all(const Tensor& x, const Tensor& weight,
                                                const std::optional<Tensor>& bias,
                                                std::string_view activation,
                                                std::string_view kernel, bool wants_z) {
    if (wants_z) return ops::forward_with_preactivation(x, weight, bias, activation, kernel);
    return {ops::forward(x, weight, bias, activation, kernel), Tensor()};
  }
};

}  // namespace per_step_dense
