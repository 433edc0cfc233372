#include "upload.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace per_step_dense {

using at::Tensor;

std::vector<Tensor> upload(const std::vector<std::vector<int64_t>>& lists, at::Device device) {
  int64_t size = 0;
  for (const auto& list : lists) size += int64_t(list.size());
  // Only from pinned memory is a copy asynchronous; torch keeps that until it is done.
  const Tensor host =
      at::empty({size}, at::TensorOptions(at::kLong).pinned_memory(device.is_cuda()));
  auto* to = host.mutable_data_ptr<int64_t>();
  for (const auto& list : lists) to = std::copy(list.begin(), list.end(), to);

  const Tensor all = host.to(device, /*non_blocking=*/true);
  std::vector<Tensor> parts;
  int64_t first = 0;
  for (const auto& list : lists) {
    parts.push_back(all.narrow(0, first, int64_t(list.size())));
    first += int64_t(list.size());
  }
  return parts;
}

}  // namespace per_step_dense
