// Every op that is differentiated comes in two forms: all steps have all rows, or a ragged batch
// says which rows each has. Their derivatives are the same formulas; here is what differs.
#pragma once

#include <memory>

#include "autograd_node.h"
#include "composite.h"
#include "ops.h"
#include "ragged_composite.h"

namespace per_step_dense {

// Which rows the steps have.
struct Rows {
  at::Tensor sizes;       // as the ragged ops are given it; undefined: every step has all rows
  c10::SymInt steps = 0;  // T of a ragged batch

  bool are_ragged() const { return sizes.defined(); }
};

// The same for a node to keep. Most nodes keep nothing, and are small.
class SavedRows {
 public:
  void save(const Rows& rows) {
    if (!rows.are_ragged()) return;
    ragged_ = std::make_unique<Ragged>(Ragged{save_input(rows.sizes), rows.steps});
  }
  Rows unpack() const { return ragged_ ? Rows{ragged_->sizes.unpack(), ragged_->steps} : Rows{}; }
  void reset() {
    if (ragged_) ragged_->sizes.reset_data();
  }

 private:
  struct Ragged {
    torch::autograd::SavedVariable sizes;
    c10::SymInt steps;
  };
  std::unique_ptr<Ragged> ragged_;
};

namespace ops {

inline at::Tensor forward(const Rows& rows, const at::Tensor& x, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias, std::string_view activation,
                          std::string_view kernel) {
  return rows.are_ragged() ? ragged_forward(x, weight, bias, rows.sizes, activation, kernel)
                           : forward(x, weight, bias, activation, kernel);
}

inline std::tuple<at::Tensor, at::Tensor> forward_with_preactivation(
    const Rows& rows, const at::Tensor& x, const at::Tensor& weight,
    const std::optional<at::Tensor>& bias, std::string_view activation, std::string_view kernel) {
  return rows.are_ragged()
             ? ragged_forward_with_preactivation(x, weight, bias, rows.sizes, activation, kernel)
             : forward_with_preactivation(x, weight, bias, activation, kernel);
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(
    const Rows& rows, const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, bool wants_dbias, std::string_view kernel) {
  return rows.are_ragged()
             ? ragged_backward(dz, x, weight, rows.sizes, rows.steps, wants_dbias, kernel)
             : backward(dz, x, weight, wants_dbias, kernel);
}

}  // namespace ops

namespace composite {

inline at::Tensor forward(const Rows& rows, const at::Tensor& x, const at::Tensor& weight,
                          const std::optional<at::Tensor>& bias, std::string_view activation) {
  return rows.are_ragged() ? ragged_forward(x, weight, bias, rows.sizes, activation)
                           : forward(x, weight, bias, activation);
}

inline std::tuple<at::Tensor, at::Tensor> forward_with_preactivation(
    const Rows& rows, const at::Tensor& x, const at::Tensor& weight,
    const std::optional<at::Tensor>& bias, std::string_view activation) {
  return rows.are_ragged()
             ? ragged_forward_with_preactivation(x, weight, bias, rows.sizes, activation)
             : forward_with_preactivation(x, weight, bias, activation);
}

inline std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(
    const Rows& rows, const at::Tensor& dz, const std::optional<at::Tensor>& x,
    const std::optional<at::Tensor>& weight, bool wants_dbias) {
  return rows.are_ragged() ? ragged_backward(dz, x, weight, rows.sizes,
                                             rows.steps.guard_int(__FILE__, __LINE__), wants_dbias)
                           : backward(dz, x, weight, wants_dbias);
}

}  // namespace composite

}  // namespace per_step_dense
