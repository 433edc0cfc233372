// What a call would run, without running it: of real tensors, meta tensors and fake ones, on this
// machine's GPU or on an architecture that is only named.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan_cache.h"

namespace per_step_dense {

// per_step_dense/plan.py says what the fields mean. What is unknown is absent.
struct Explanation {
  std::string kernel;
  std::optional<std::string> tile;
  std::optional<int64_t> stages, blocks, threads, cluster, smem_bytes;
  std::vector<int64_t> splits;
  int64_t launches = 0;
  double flops = 0, bytes = 0;
  int64_t workspace_bytes = 0;
  std::optional<double> floor_us, estimate_us;
  std::optional<std::string> architecture;
  std::string reason;
  std::vector<Explanation> parts;  // of a backward by a launch for each product
};

struct ExplainedCall {
  Explanation forward;
  std::optional<Explanation> backward;  // of all gradients; absent where the kernel has none
};

// Checks its arguments as the op does. `architecture` such as "sm_90"; absent: the device of x
// decides. `kernel` as the op's.
ExplainedCall explain(const at::Tensor& x,                    // (*, T, I)
                      const at::Tensor& weight,               // (T, I, O)
                      const std::optional<at::Tensor>& bias,  // (T, O)
                      std::string_view activation, std::optional<std::string_view> architecture,
                      std::string_view kernel);

// What calls on CUDA tensors keep in their cache; for tests and for measuring what a call pays for
// it. Chooses the forward's kernel `repeats` times, and returns the last choice.
PlannedCall plan_repeatedly(const at::Tensor& x, const at::Tensor& weight,
                            std::string_view architecture, bool is_cached, int64_t repeats);

}  // namespace per_step_dense
