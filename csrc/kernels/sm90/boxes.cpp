#include "kernels/sm90/boxes.h"

#include <limits>
#include <tuple>

#include "kernels/gemm.h"

namespace per_step_dense::sm90 {
namespace {

constexpr int64_t kChunkBytes = 16;
constexpr int64_t kStrideEnd = int64_t{1} << 40;  // in bytes
// Coordinates have 32 bits; boxes reach beyond the last element.
constexpr int64_t kMostElems = std::numeric_limits<int32_t>::max() - 256;

std::string size_of(char name, int64_t extent) {
  return std::string(1, name) + " = " + std::to_string(extent);
}

// A view with what its dimensions are called, such as x with "BTI".
struct NamedView {
  const char* name;
  const View3& view;
  const char* dims;
  int64_t extent[3];
  bool may_repeat_steps;
  int64_t element_bytes;

  bool is_step(int dim) const { return dims[dim] == 'T'; }

  std::string stride_of(int dim) const {
    return std::string(name) + ".stride(" + std::to_string(dim) +
           ") = " + std::to_string(view.stride[dim]);
  }
};

// Of one of the outer dimensions, which has more than one index.
std::string why_no_stride(const NamedView& tensor, int dim) {
  const int64_t stride = tensor.view.stride[dim];
  const int64_t chunk_elems = kChunkBytes / tensor.element_bytes;
  if (stride % chunk_elems != 0) {
    const bool is_row = stride == tensor.extent[2];
    return (is_row ? size_of(tensor.dims[2], stride) : tensor.stride_of(dim)) +
           " is not a multiple of " + std::to_string(chunk_elems) + ": TMA needs 16-byte strides";
  }
  if (stride == 0 && tensor.may_repeat_steps && tensor.is_step(dim)) return "";
  if (stride <= 0) return tensor.stride_of(dim) + ": TMA needs strides above 0";
  const bool is_short = stride < kStrideEnd / tensor.element_bytes;
  return is_short ? "" : tensor.stride_of(dim) + ": TMA needs strides under 2^40 bytes";
}

std::string why_no_box(const NamedView& tensor) {
  if (!tensor.view.data) return "";
  if (tensor.extent[2] > 1 && tensor.view.stride[2] != 1) {
    return tensor.stride_of(2) + " is not 1: TMA needs contiguous rows";
  }
  for (const int dim : {2, 1, 0}) {  // rows first: the other strides often follow from theirs
    if (tensor.extent[dim] > kMostElems) {
      return size_of(tensor.dims[dim], tensor.extent[dim]) + ": TMA's coordinates have 32 bits";
    }
    if (dim == 2 || tensor.extent[dim] <= 1) continue;
    const std::string obstacle = why_no_stride(tensor, dim);
    if (!obstacle.empty()) return obstacle;
  }
  const auto rest = reinterpret_cast<uintptr_t>(tensor.view.data) % kChunkBytes;
  if (rest == 0) return "";
  return std::string(tensor.name) + " begins " + std::to_string(rest) +
         " bytes after a multiple of 16: TMA needs 16-byte addresses";
}

// A dimension with one index is never stepped along: it is given the stride of rows that lie close
// together.
int64_t stride_bytes(int64_t extent, int64_t stride, int64_t columns,
                     const ForwardProblem& problem) {
  const int64_t element_bytes = bytes_of(problem.dtype);
  return extent > 1 ? stride * element_bytes
                    : ceil_div(columns * element_bytes, kChunkBytes) * kChunkBytes;
}

constexpr DType stored_dtype(const ForwardProblem& problem) {
  return problem.dtype == DType::kTFloat32 ? DType::kFloat32 : problem.dtype;
}

// Of x, y and z: (B, T, columns). A row of a box has as many elements as a stage has terms.
BoxedTensor rows_of(const View3& view, int64_t columns, const ForwardProblem& problem,
                    bool has_steps, int box_rows, const TileInfo& tile) {
  const int64_t steps = has_steps ? problem.t : 1;
  return {view.data,
          {columns, steps, problem.b},
          {stride_bytes(steps, view.stride[1], columns, problem),
           stride_bytes(problem.b, view.stride[0], columns, problem)},
          {tile.block_k, 1, box_rows},
          stored_dtype(problem)};
}

}  // namespace

std::string why_no_boxes(const ForwardProblem& problem) {
  const auto& [b, t, i, o] = std::tie(problem.b, problem.t, problem.i, problem.o);
  const int64_t bytes = bytes_of(problem.dtype), chunk_elems = kChunkBytes / bytes;
  if (o % chunk_elems != 0) {
    return size_of('O', o) + " is not a multiple of " + std::to_string(chunk_elems) +
           ": TMA stores whole 16 bytes";
  }
  for (const NamedView& tensor :
       {NamedView{"x", problem.x, "BTI", {b, t, i}, true, bytes},
        NamedView{"weight", problem.weight, "TIO", {t, i, o}, true, bytes},
        NamedView{"y", problem.y, "BTO", {b, t, o}, false, bytes},
        NamedView{"z", problem.z, "BTO", {b, t, o}, false, bytes}}) {
    const std::string obstacle = why_no_box(tensor);
    if (!obstacle.empty()) return obstacle;
  }
  return "";
}

ForwardBoxes boxes_of(const ForwardProblem& problem, const TileInfo& tile) {
  ForwardBoxes boxes{};
  boxes.x_has_steps = problem.t > 1 && problem.x.stride[1] != 0;
  boxes.weight_has_steps = problem.t > 1 && problem.weight.stride[0] != 0;
  const int64_t weight_steps = boxes.weight_has_steps ? problem.t : 1;
  boxes.x = rows_of(problem.x, problem.i, problem, boxes.x_has_steps, tile.block_m, tile);
  boxes.x.dtype = problem.dtype;  // the weight is rounded on its way through registers
  boxes.weight = {problem.weight.data,
                  {problem.o, problem.i, weight_steps},
                  {stride_bytes(problem.i, problem.weight.stride[1], problem.o, problem),
                   stride_bytes(weight_steps, problem.weight.stride[0], problem.o, problem)},
                  {tile.block_k, tile.block_k, 1},
                  stored_dtype(problem)};
  boxes.y = rows_of(problem.y, problem.o, problem, true, tile.consumer_rows, tile);
  boxes.z = rows_of(problem.z, problem.o, problem, true, tile.consumer_rows, tile);
  return boxes;
}

}  // namespace per_step_dense::sm90
