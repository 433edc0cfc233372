#include "kernels/sm90/boxes.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <tuple>

#include "kernels/gemm.h"

namespace per_step_dense::sm90 {
namespace {

constexpr int64_t kChunkBytes = 16;
constexpr int64_t kSwizzleRows = 8;               // whose chunks change places among each other
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

// Where rows differ by step, one map shows those of all steps.
std::string why_no_matrix_of_rows(const NamedView& tensor) {
  if (!tensor.view.data || tensor.extent[1] <= 1 || tensor.view.stride[1] == 0) return "";
  return tensor.stride_of(1) + " is not 0: sm90 needs rows that differ by step to be of one matrix";
}

// Rows that TMA stores, whole chunks at a time.
std::string why_no_whole_chunks(char name, int64_t extent, int64_t element_bytes) {
  const int64_t chunk_elems = kChunkBytes / element_bytes;
  if (extent % chunk_elems == 0) return "";
  return size_of(name, extent) + " is not a multiple of " + std::to_string(chunk_elems) +
         ": TMA stores whole 16 bytes";
}

// The first obstacle.
std::string why_no_box(std::initializer_list<NamedView> tensors, bool has_ranges) {
  for (const NamedView& tensor : tensors) {
    const bool has_rows = tensor.is_step(1);
    std::string obstacle = has_ranges && has_rows ? why_no_matrix_of_rows(tensor) : "";
    if (obstacle.empty()) obstacle = why_no_box(tensor);
    if (!obstacle.empty()) return obstacle;
  }
  return "";
}

// Makes the boxes of a problem's tensors for a tile. A dimension with one index is never stepped
// along: it is given the stride of rows that lie close together.
template <class Problem>
class Boxer {
 public:
  Boxer(const Problem& problem, const TileInfo& tile) : problem_(problem), tile_(tile) {}

  // Of (B, T, columns).
  BoxedTensor rows(const View3& view, int64_t columns, int box_rows) const {
    const int64_t steps = has_steps(view.stride[1]) ? problem_.t : 1;
    return {view.data,
            {columns, steps, problem_.b},
            {stride_bytes(steps, view.stride[1], columns),
             stride_bytes(problem_.b, view.stride[0], columns)},
            {tile_.block_k, 1, box_rows},
            stored_dtype()};
  }

  // Of (T, I, O).
  BoxedTensor weight(const View3& view, int box_rows) const {
    const int64_t steps = has_steps(view.stride[0]) ? problem_.t : 1;
    return {view.data,
            {problem_.o, problem_.i, steps},
            {stride_bytes(problem_.i, view.stride[1], problem_.o),
             stride_bytes(steps, view.stride[0], problem_.o)},
            {tile_.block_k, box_rows, 1},
            stored_dtype()};
  }

  // No more than there are: what lies outside TMA fetches as zeros, but at the pace of what lies
  // inside. Their sums are of what an earlier stage left there, and nobody looks at them.
  int rows_of_tile() const {
    return int(std::min<int64_t>(tile_.block_m, ceil_div(problem_.b, kSwizzleRows) * kSwizzleRows));
  }

  bool has_steps(int64_t stride) const { return problem_.t > 1 && stride != 0; }

 private:
  int64_t stride_bytes(int64_t extent, int64_t stride, int64_t columns) const {
    const int64_t element_bytes = bytes_of(problem_.dtype);
    return extent > 1 ? stride * element_bytes
                      : ceil_div(columns * element_bytes, kChunkBytes) * kChunkBytes;
  }

  DType stored_dtype() const {
    return problem_.dtype == DType::kTFloat32 ? DType::kFloat32 : problem_.dtype;
  }

  const Problem& problem_;
  const TileInfo& tile_;
};

}  // namespace

std::string why_no_boxes(const ForwardProblem& problem) {
  const auto& [b, t, i, o] = std::tie(problem.b, problem.t, problem.i, problem.o);
  const int64_t bytes = bytes_of(problem.dtype);
  const bool has_ranges = problem.rows.begin;
  const std::string obstacle = why_no_whole_chunks('O', o, bytes);
  if (!obstacle.empty()) return obstacle;
  return why_no_box({{"x", problem.x, "BTI", {b, t, i}, true, bytes},
                     {"weight", problem.weight, "TIO", {t, i, o}, true, bytes},
                     {"y", problem.y, "BTO", {b, t, o}, has_ranges, bytes},
                     {"z", problem.z, "BTO", {b, t, o}, has_ranges, bytes}},
                    has_ranges);
}

std::string why_no_boxes(const BackwardProblem& problem) {
  const auto& [b, t, i, o] = std::tie(problem.b, problem.t, problem.i, problem.o);
  const int64_t bytes = bytes_of(problem.dtype);
  const bool has_ranges = problem.rows.begin;
  // A copy of dz has rows of O, dweight stores them, and dx those of I.
  std::string obstacle = why_no_whole_chunks('O', o, bytes);
  if (obstacle.empty() && problem.dx.data) obstacle = why_no_whole_chunks('I', i, bytes);
  if (obstacle.empty() && has_ranges)
    obstacle = why_no_matrix_of_rows({"dz", problem.dz, "BTO", {b, t, o}, true, bytes});
  if (obstacle.empty() && problem.dx.data) {
    obstacle = why_no_box({{"weight", problem.weight, "TIO", {t, i, o}, true, bytes},
                           {"dx", problem.dx, "BTI", {b, t, i}, has_ranges, bytes}},
                          has_ranges);
  }
  if (obstacle.empty() && problem.dweight.data) {
    obstacle = why_no_box({{"x", problem.x, "BTI", {b, t, i}, true, bytes}}, has_ranges);
  }
  const bool stores_dweight = problem.accumulation == Accumulation::kOverwrite;
  if (obstacle.empty() && problem.dweight.data && stores_dweight) {
    obstacle =
        why_no_box({{"dweight", problem.dweight, "TIO", {t, i, o}, false, bytes}}, has_ranges);
  }
  return obstacle;
}

std::string why_no_box_of_dz(const BackwardProblem& problem) {
  const auto& [b, t, o] = std::tie(problem.b, problem.t, problem.o);
  return why_no_box({"dz", problem.dz, "BTO", {b, t, o}, true, bytes_of(problem.dtype)});
}

ProductBoxes boxes_of(const ForwardProblem& problem, const TileInfo& tile) {
  const Boxer boxer(problem, tile);
  ProductBoxes boxes{};
  boxes.a = boxer.rows(problem.x, problem.i, boxer.rows_of_tile());
  boxes.a.dtype = problem.dtype;  // the weight is rounded on its way through registers
  boxes.b = boxer.weight(problem.weight, tile.block_k);
  boxes.c = boxer.rows(problem.y, problem.o, tile.consumer_rows);
  boxes.z = boxer.rows(problem.z, problem.o, tile.consumer_rows);
  boxes.a_has_steps = boxer.has_steps(problem.x.stride[1]);
  boxes.b_has_steps = boxer.has_steps(problem.weight.stride[0]);
  return boxes;
}

ProductBoxes grad_input_boxes(const BackwardProblem& problem, const TileInfo& tile) {
  const Boxer boxer(problem, tile);
  ProductBoxes boxes{};
  boxes.a = boxer.rows(problem.dz, problem.o, boxer.rows_of_tile());
  boxes.b = boxer.weight(problem.weight, tile.block_k);
  boxes.a.dtype = boxes.b.dtype = problem.dtype;
  boxes.c = boxer.rows(problem.dx, problem.i, tile.consumer_rows);
  boxes.a_has_steps = boxer.has_steps(problem.dz.stride[1]);
  boxes.b_has_steps = boxer.has_steps(problem.weight.stride[0]);
  return boxes;
}

ProductBoxes grad_weight_boxes(const BackwardProblem& problem, const TileInfo& tile) {
  const Boxer boxer(problem, tile);
  ProductBoxes boxes{};
  boxes.a = boxer.rows(problem.x, problem.i, tile.block_k);
  boxes.b = boxer.rows(problem.dz, problem.o, tile.block_k);
  boxes.c = boxer.weight(problem.dweight, tile.consumer_rows);
  boxes.a_has_steps = boxer.has_steps(problem.x.stride[1]);
  boxes.b_has_steps = boxer.has_steps(problem.dz.stride[1]);
  return boxes;
}

}  // namespace per_step_dense::sm90
