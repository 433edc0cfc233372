// Making an autograd node, and saving what it needs. Torch 2.13 counts references to a node inside
// it; before, std::shared_ptr did, and nodes had to be deleted without recursion.
#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/version.h>

namespace per_step_dense {

template <class NodeType>
auto new_node() {
#if TORCH_VERSION_MAJOR > 2 || TORCH_VERSION_MINOR >= 13
  return c10::make_intrusive<NodeType>();
#else
  return std::shared_ptr<NodeType>(new NodeType(), torch::autograd::deleteNode);
#endif
}

// A node whose gradients go to `inputs`, in this order; an undefined input has an edge to nowhere.
template <class NodeType, class... Tensors>
auto make_node(const Tensors&... inputs) {
  auto node = new_node<NodeType>();
  node->set_next_edges(torch::autograd::collect_next_edges(inputs...));
  return node;
}

inline torch::autograd::SavedVariable save_input(const at::Tensor& tensor) {
  return torch::autograd::SavedVariable(tensor, /*is_output=*/false);
}
inline torch::autograd::SavedVariable save_output(const at::Tensor& tensor) {
  return torch::autograd::SavedVariable(tensor, /*is_output=*/true);
}

}  // namespace per_step_dense
