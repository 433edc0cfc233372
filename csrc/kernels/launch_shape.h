// What a launch asks of the driver, and what a call asks in all.
#pragma once

#include <cstddef>
#include <cstdint>

namespace per_step_dense {

// One-dimensional on purpose: grid.y and grid.z end at 65,535.
struct LaunchShape {
  unsigned blocks;
  unsigned threads;
  size_t smem_bytes;
  unsigned cluster = 1;  // neighbouring blocks that run together and reach each other's memory
};

// Where grid.x ends. Kernels walk their tiles in steps of the grid, so more tiles are legal.
inline constexpr int64_t kMaxBlocks = (int64_t{1} << 31) - 1;

struct LaunchPlan {
  LaunchShape shape;  // of the main launch
  int launches;       // 0 where there is nothing to compute
  // What the main launch finds there, and what it leaves there for the next one to add up.
  size_t workspace_bytes;
  int launches_before;  // of them, the main one
};

}  // namespace per_step_dense
