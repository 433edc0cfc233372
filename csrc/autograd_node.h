// Making an autograd node. Torch 2.13 counts references to a node inside it; before,
// std::shared_ptr did, and nodes had to be deleted without recursion.
#pragma once

#include <torch/csrc/autograd/function.h>
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

}  // namespace per_step_dense
