// The C interface that tests load: the package's host code, run under a schedule.
#include "bridge.h"

#include <cstring>
#include <vector>

#include "kernels/activation_backward.h"
#include "kernels/simt/simt.h"

namespace {

using emulator::BufferRole;
using emulator::TensorView;
using per_step_dense::DType;
using per_step_dense::View2;
using per_step_dense::View3;

int64_t element_bytes(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return sizeof(float);
  }
  return 0;
}

// Collects what a problem's kernels may touch. Absent tensors are left out.
class Views {
 public:
  explicit Views(DType dtype) : element_bytes_(element_bytes(dtype)) {}

  void add(const char* name, BufferRole role, const View3& view, int64_t extent0, int64_t extent1,
           int64_t extent2) {
    if (view.data == nullptr) return;
    views_.push_back({name,
                      role,
                      view.data,
                      element_bytes_,
                      {extent0, extent1, extent2},
                      {view.stride[0], view.stride[1], view.stride[2]}});
  }
  void add(const char* name, BufferRole role, const View2& view, int64_t extent0, int64_t extent1) {
    add(name, role, View3{view.data, {0, view.stride[0], view.stride[1]}}, 1, extent0, extent1);
  }

  const std::vector<TensorView>& all() const { return views_; }

 private:
  int64_t element_bytes_;
  std::vector<TensorView> views_;
};

}  // namespace

size_t emulator_schedule_count() { return emulator::schedule_count(); }
const char* emulator_schedule_name(size_t index) { return emulator::schedule_at(index).name; }

const char* emulator_activation_name(int index) {
  constexpr int kCount = sizeof per_step_dense::kActivationNames / sizeof(const char*);
  return index < kCount ? per_step_dense::kActivationNames[index] : nullptr;
}

size_t emulator_struct_bytes(const char* name) {
  const struct {
    const char* name;
    size_t bytes;
  } structs[] = {
      {"ForwardProblem", sizeof(per_step_dense::ForwardProblem)},
      {"BackwardProblem", sizeof(per_step_dense::BackwardProblem)},
      {"ActivationBackwardProblem", sizeof(per_step_dense::ActivationBackwardProblem)},
      {"ExampleGemm", sizeof(per_step_dense::example::GemmProblem)},
      {"Report", sizeof(emulator::Report)},
  };
  for (const auto& known : structs) {
    if (std::strcmp(known.name, name) == 0) return known.bytes;
  }
  return 0;
}

void emulator_forward(const per_step_dense::ForwardProblem* problem, size_t schedule,
                      emulator::Report* report) {
  const auto& p = *problem;
  Views views(p.dtype);
  views.add("x", BufferRole::kInput, p.x, p.b, p.t, p.i);
  views.add("weight", BufferRole::kInput, p.weight, p.t, p.i, p.o);
  views.add("bias", BufferRole::kInput, p.bias, p.t, p.o);
  views.add("y", BufferRole::kOutput, p.y, p.b, p.t, p.o);
  views.add("z", BufferRole::kOutput, p.z, p.b, p.t, p.o);
  emulator::run_in_session(emulator::schedule_at(schedule), views.all(), *report,
                           [&] { return per_step_dense::simt::forward(p, nullptr); });
}

void emulator_backward(const per_step_dense::BackwardProblem* problem, size_t schedule,
                       emulator::Report* report) {
  const auto& p = *problem;
  Views views(p.dtype);
  views.add("dz", BufferRole::kInput, p.dz, p.b, p.t, p.o);
  views.add("x", BufferRole::kInput, p.x, p.b, p.t, p.i);
  views.add("weight", BufferRole::kInput, p.weight, p.t, p.i, p.o);
  views.add("dx", BufferRole::kOutput, p.dx, p.b, p.t, p.i);
  views.add("dweight", BufferRole::kOutput, p.dweight, p.t, p.i, p.o);
  views.add("dbias", BufferRole::kOutput, p.dbias, p.t, p.o);
  emulator::run_in_session(emulator::schedule_at(schedule), views.all(), *report,
                           [&] { return per_step_dense::simt::backward(p, nullptr); });
}

void emulator_activation_backward(const per_step_dense::ActivationBackwardProblem* problem,
                                  size_t schedule, emulator::Report* report) {
  const auto& p = *problem;
  Views views(p.dtype);
  views.add("dy", BufferRole::kInput, p.dy, p.b, p.t, p.o);
  views.add("saved", BufferRole::kInput, p.saved, p.b, p.t, p.o);
  views.add("dz", BufferRole::kOutput, p.dz, p.b, p.t, p.o);
  emulator::run_in_session(emulator::schedule_at(schedule), views.all(), *report,
                           [&] { return per_step_dense::activation_backward(p, nullptr); });
}
