// The C interface that tests load: the package's host code, run under a schedule.
#include "bridge.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "choose_kernel.h"
#include "cost_model.h"
#include "families.h"
#include "kernels/activation_backward.h"
#include "plan_cache.h"
#include "problem_text.h"
#include "runtime/fiber.h"
#include "workspace.h"

namespace {

using emulator::BufferRole;
using emulator::KernelDecision;
using emulator::KernelRequest;
using emulator::Report;
using emulator::TensorView;
using emulator::Workspace;
using per_step_dense::DType;
using per_step_dense::KernelFamily;
using per_step_dense::LaunchPlan;
using per_step_dense::RowRanges;
using per_step_dense::View2;
using per_step_dense::View3;

// Collects what a problem's kernels may touch. Absent tensors are left out.
class Views {
 public:
  explicit Views(DType dtype) : Views(dtype, {}, 0, KernelFamily::kAuto) {}
  Views(DType dtype, const RowRanges& rows, int64_t t, KernelFamily family)
      : element_bytes_(per_step_dense::bytes_of(dtype)),
        rows_(rows),
        steps_(t),
        fetches_boxes_(family == KernelFamily::kSm90) {
    if (!rows.begin) return;
    add(ranges("begin", rows.begin));
    add(ranges("count", rows.count));
  }

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
  void add(const TensorView& view) { views_.push_back(view); }

  // A tensor with rows of the batch. Where they differ by step, those of no step are not touched,
  // but by TMA, whose boxes reach beyond a step's last row.
  void add_rows(const char* name, BufferRole role, const View3& view, int64_t rows,
                int64_t columns) {
    const bool is_fetched = fetches_boxes_ && role == BufferRole::kInput;
    if (!rows_.begin || is_fetched) return add(name, role, view, rows, steps_, columns);
    if (view.data == nullptr) return;
    int64_t step = 0, begin = 0, end = 0;
    const auto add_run = [&] {
      const int64_t offset = begin * view.stride[0] + step * view.stride[1];
      auto* data = static_cast<char*>(view.data) + offset * element_bytes_;
      add(name, role, View3{data, {view.stride[0], 0, view.stride[2]}}, end - begin, 1, columns);
    };
    // Those of one matrix may lie one behind the other.
    const bool is_one_matrix = view.stride[1] == 0;
    for (int64_t t = 0; t < steps_; ++t) {
      const int64_t first = std::clamp<int64_t>(rows_.begin[t], 0, rows);
      const int64_t count = std::clamp<int64_t>(rows_.count[t], 0, rows - first);
      if (count > 0 && (first != end || !is_one_matrix)) {
        add_run();
        step = t;
        begin = end = first;
      }
      end += count;
    }
    add_run();
  }

  const std::vector<TensorView>& all() const { return views_; }

 private:
  TensorView ranges(const char* name, const int64_t* data) const {
    return {name,         BufferRole::kInput, const_cast<int64_t*>(data),
            sizeof *data, {1, 1, steps_},     {0, 0, 1}};
  }

  int64_t element_bytes_;
  RowRanges rows_;  // where begin is null, every step has all rows
  int64_t steps_;
  bool fetches_boxes_;
  std::vector<TensorView> views_;
};

Views views_of(const per_step_dense::ForwardProblem& p, KernelFamily family) {
  Views views(p.dtype, p.rows, p.t, family);
  views.add_rows("x", BufferRole::kInput, p.x, p.b, p.i);
  views.add("weight", BufferRole::kInput, p.weight, p.t, p.i, p.o);
  views.add("bias", BufferRole::kInput, p.bias, p.t, p.o);
  views.add_rows("y", BufferRole::kOutput, p.y, p.b, p.o);
  views.add_rows("z", BufferRole::kOutput, p.z, p.b, p.o);
  return views;
}

Views views_of(const per_step_dense::BackwardProblem& p, KernelFamily family) {
  Views views(p.dtype, p.rows, p.t, family);
  views.add_rows("dz", BufferRole::kInput, p.dz, p.b, p.o);
  views.add_rows("x", BufferRole::kInput, p.x, p.b, p.i);
  views.add("weight", BufferRole::kInput, p.weight, p.t, p.i, p.o);
  views.add_rows("dx", BufferRole::kOutput, p.dx, p.b, p.i);
  Views gradients(dtype_of_parameter_gradients(p));
  const bool overwrites = p.accumulation == per_step_dense::Accumulation::kOverwrite;
  const BufferRole role = overwrites ? BufferRole::kOutput : BufferRole::kAccumulator;
  gradients.add("dweight", role, p.dweight, p.t, p.i, p.o);
  gradients.add("dbias", role, p.dbias, p.t, p.o);
  for (const TensorView& view : gradients.all()) views.add(view);
  return views;
}

// What explain() would say of a call has to be what happens.
void check_plan(const LaunchPlan& plan) {
  emulator::Session& session = emulator::this_session();
  const auto launches = static_cast<int>(session.launches.size());
  if (launches == 0 && plan.launches == 0) return;
  const auto main_launch = static_cast<size_t>(plan.launches_before);
  const emulator::LaunchRequest launch =
      plan.launches_before < launches ? session.launches[main_launch] : emulator::LaunchRequest{};
  const per_step_dense::LaunchShape& shape = plan.shape;
  if (launches == plan.launches && launch.grid.x == shape.blocks &&
      launch.block.x == shape.threads && launch.smem_bytes == shape.smem_bytes &&
      launch.cluster == shape.cluster) {
    return;
  }
  char message[320];
  std::snprintf(message, sizeof message,
                "planned: %d launches, after %d of them one of %u blocks, %u threads, %zu bytes of "
                "shared memory, clusters of %u; seen: %d, %u, %u, %zu, %u",
                plan.launches, plan.launches_before, shape.blocks, shape.threads, shape.smem_bytes,
                shape.cluster, launches, launch.grid.x, launch.block.x, launch.smem_bytes,
                launch.cluster);
  session.record_failure("plan", message);
}

template <class Problem>
void run(const Problem& problem, const KernelRequest& request, size_t schedule,
         KernelDecision& decision, Report& report) {
  decision.choice = emulator::choose(problem, request);
  if (decision.choice.family == per_step_dense::KernelFamily::kAten) {
    report = {};
    std::snprintf(report.kind, sizeof report.kind, "choice");
    std::snprintf(report.message, sizeof report.message, "no kernel does what is asked for: %s",
                  emulator::why_not(problem, request).c_str());
    return;
  }
  decision.plan = per_step_dense::plan_of(problem, decision.choice);
  Workspace workspace(decision.plan.workspace_bytes);
  Views views = views_of(problem, decision.choice.family);
  views.add(workspace.view());
  const auto call = [&] {
    const cudaError_t error = emulator::launch(problem, decision.choice, workspace.data(), nullptr);
    if (error == cudaSuccess) {
      check_plan(decision.plan);
    } else {
      const std::string text = per_step_dense::text_of(problem, decision.choice) +
                               " cannot be launched: CUDA error " + std::to_string(error);
      emulator::this_session().record_failure("host", text.c_str());
    }
    if (!workspace.has_intact_guards()) {
      emulator::this_session().record_failure("guard", "something wrote beside the workspace");
    }
    return error;
  };
  emulator::run_in_session(emulator::schedule_at(schedule), views.all(), report, call);
}

}  // namespace

void emulator_release_stacks() { emulator::Fiber::release_stacks(); }

size_t emulator_schedule_count() { return emulator::schedule_count(); }
const char* emulator_schedule_name(size_t index) { return emulator::schedule_at(index).name; }

const char* emulator_activation_name(int index) {
  constexpr int kCount = sizeof per_step_dense::kActivationNames / sizeof(const char*);
  return index < kCount ? per_step_dense::kActivationNames[index] : nullptr;
}

const char* emulator_family_name(int index) {
  constexpr int kCount = sizeof per_step_dense::kKernelFamilyNames / sizeof(const char*);
  return index < kCount ? per_step_dense::kKernelFamilyNames[index] : nullptr;
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
      {"KernelRequest", sizeof(KernelRequest)},
      {"KernelDecision", sizeof(KernelDecision)},
      {"TileFacts", sizeof(emulator::TileFacts)},
      {"EncodeRequest", sizeof(emulator::EncodeRequest)},
      {"Report", sizeof(Report)},
  };
  for (const auto& known : structs) {
    if (std::strcmp(known.name, name) == 0) return known.bytes;
  }
  return 0;
}

bool emulator_tile_facts(per_step_dense::KernelFamily family, DType dtype, int index,
                         emulator::TileFacts* facts) {
  return emulator::tile_facts(family, dtype, index, *facts);
}

void emulator_forward(const per_step_dense::ForwardProblem* problem, const KernelRequest* request,
                      size_t schedule, KernelDecision* decision, Report* report) {
  run(*problem, *request, schedule, *decision, *report);
}

void emulator_backward(const per_step_dense::BackwardProblem* problem, const KernelRequest* request,
                       size_t schedule, KernelDecision* decision, Report* report) {
  run(*problem, *request, schedule, *decision, *report);
}

bool emulator_share_a_plan(const per_step_dense::BackwardProblem* one,
                           const per_step_dense::BackwardProblem* other) {
  const auto key = [](const per_step_dense::BackwardProblem& problem) {
    return per_step_dense::detail::key_of(problem, /*device=*/0,
                                          per_step_dense::KernelFamily::kAuto);
  };
  return key(*one) == key(*other);
}

double emulator_bytes_of(const per_step_dense::BackwardProblem* problem) {
  return per_step_dense::work_of(*problem).bytes;
}

void emulator_activation_backward(const per_step_dense::ActivationBackwardProblem* problem,
                                  size_t schedule, Report* report) {
  const auto& p = *problem;
  Views views(p.dtype);
  views.add("dy", BufferRole::kInput, p.dy, p.b, p.t, p.o);
  views.add("saved", BufferRole::kInput, p.saved, p.b, p.t, p.o);
  views.add("dz", BufferRole::kOutput, p.dz, p.b, p.t, p.o);
  emulator::run_in_session(emulator::schedule_at(schedule), views.all(), *report,
                           [&] { return per_step_dense::activation_backward(p, nullptr); });
}
