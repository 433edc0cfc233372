// A stand-alone run of every kernel, for the sanitizers that a Python process cannot load:
// ThreadSanitizer above all.
//
//   driver [schedule ...]     by their indices; all unless told. The exit status is the number of
//                             faults
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "bridge.h"
#include "driver_tensor.h"

using namespace per_step_dense;
using driver::Tensor;

// Counts the races that ThreadSanitizer reports; nothing calls it in other builds.
static int races = 0;
extern "C" void __tsan_on_report(void*) { ++races; }
// The exit status is ours.
extern "C" const char* __tsan_default_options() { return "exitcode=0"; }

namespace {

int runs = 0;
int faults = 0;

struct Extents {
  int64_t b, t, i, o;
};

// One kernel under one schedule.
struct Run {
  const char* what;
  Extents extents;
  DType dtype;
  emulator::KernelRequest request;
  size_t schedule;
};

double tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return 1e-12;
    case DType::kFloat16:
      return 2e-3;
    case DType::kBFloat16:
      return 2e-2;
    case DType::kFloat32:
    case DType::kTFloat32:
      break;
  }
  return 5e-5;
}

// The largest error of `actual(i, j, k)` against `expected`, relative to its magnitude.
template <class Expected>
double largest_error(int64_t n0, int64_t n1, int64_t n2, const Tensor& actual,
                     Expected&& expected) {
  double largest = 0;
  for (int64_t i = 0; i < n0; ++i) {
    for (int64_t j = 0; j < n1; ++j) {
      for (int64_t k = 0; k < n2; ++k) {
        const double wanted = expected(i, j, k);
        const double error = std::abs(actual.at(i, j, k) - wanted) / (1 + std::abs(wanted));
        if (!(error <= largest)) largest = std::isnan(error) ? INFINITY : error;
      }
    }
  }
  return largest;
}

void judge(const Run& run, const emulator::Report& report, double error) {
  static int races_before = 0;
  ++runs;
  const bool raced = races != races_before;
  races_before = races;
  if (report.ok && error <= tolerance_of(run.dtype) && !raced) return;
  ++faults;
  const auto& [b, t, i, o] = run.extents;
  std::printf(
      "FAULT %s %s tile %d splits %d %d %s B%lld T%lld I%lld O%lld schedule %s: "
      "error %.3g%s %s %s\n",
      run.what, name_of(run.request.family), run.request.tile, run.request.splits[0],
      run.request.splits[1], name_of(run.dtype), static_cast<long long>(b),
      static_cast<long long>(t), static_cast<long long>(i), static_cast<long long>(o),
      emulator_schedule_name(run.schedule), error, raced ? ", a data race" : "", report.kind,
      report.message);
}

double forward_sum(const Extents& e, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   int64_t b, int64_t t, int64_t o) {
  double sum = bias.at(0, t, o);
  for (int64_t i = 0; i < e.i; ++i) sum += x.at(b, t, i) * weight.at(t, i, o);
  return sum;
}

void run_forward(const Run& run) {
  const Extents& e = run.extents;
  Tensor x(run.dtype, e.b, e.t, e.i, 1), weight(run.dtype, e.t, e.i, e.o, 2);
  Tensor bias(run.dtype, 1, e.t, e.o, 3), y(run.dtype, e.b, e.t, e.o);
  ForwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.i = e.i, problem.o = e.o;
  problem.dtype = run.dtype;
  problem.x = x.view3();
  problem.weight = weight.view3();
  problem.bias = bias.view2();
  problem.y = y.view3();
  emulator::Report report;
  emulator::KernelDecision decision;
  emulator_forward(&problem, &run.request, run.schedule, &decision, &report);
  judge(run, report, largest_error(e.b, e.t, e.o, y, [&](int64_t b, int64_t t, int64_t o) {
          return forward_sum(e, x, weight, bias, b, t, o);
        }));
}

void run_backward(const Run& run) {
  const Extents& e = run.extents;
  Tensor dz(run.dtype, e.b, e.t, e.o, 1), x(run.dtype, e.b, e.t, e.i, 2);
  Tensor weight(run.dtype, e.t, e.i, e.o, 3), dx(run.dtype, e.b, e.t, e.i);
  Tensor dweight(run.dtype, e.t, e.i, e.o), dbias(run.dtype, 1, e.t, e.o);
  BackwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.i = e.i, problem.o = e.o;
  problem.dtype = run.dtype;
  problem.dz = dz.view3();
  problem.x = x.view3();
  problem.weight = weight.view3();
  problem.dx = dx.view3();
  problem.dweight = dweight.view3();
  problem.dbias = dbias.view2();
  emulator::Report report;
  emulator::KernelDecision decision;
  emulator_backward(&problem, &run.request, run.schedule, &decision, &report);
  const double dx_error = largest_error(e.b, e.t, e.i, dx, [&](int64_t b, int64_t t, int64_t i) {
    double sum = 0;
    for (int64_t o = 0; o < e.o; ++o) sum += dz.at(b, t, o) * weight.at(t, i, o);
    return sum;
  });
  const double dweight_error =
      largest_error(e.t, e.i, e.o, dweight, [&](int64_t t, int64_t i, int64_t o) {
        double sum = 0;
        for (int64_t b = 0; b < e.b; ++b) sum += x.at(b, t, i) * dz.at(b, t, o);
        return sum;
      });
  const double dbias_error = largest_error(1, e.t, e.o, dbias, [&](int64_t, int64_t t, int64_t o) {
    double sum = 0;
    for (int64_t b = 0; b < e.b; ++b) sum += dz.at(b, t, o);
    return sum;
  });
  judge(run, report, std::fmax(dx_error, std::fmax(dweight_error, dbias_error)));
}

// Steps whose rows lie one behind the other, of which one has none and one ends behind a tile.
struct PackedRows {
  static constexpr int64_t kSteps = 4, kRows = 43;
  int64_t begin[kSteps] = {0, 17, 17, 34}, count[kSteps] = {17, 0, 17, 9};

  RowRanges ranges() const { return {begin, count, kRows, 17}; }
  int64_t step_of(int64_t row) const {
    int64_t step = 0;
    while (row >= begin[step] + count[step]) ++step;
    return step;
  }
};

// Rows of all steps lie in one tensor, at the same place at every step.
View3 packed(Tensor& tensor) {
  View3 view = tensor.view3();
  view.stride[1] = 0;
  return view;
}

void run_packed_forward(const Run& run) {
  const Extents& e = run.extents;
  const PackedRows rows;
  Tensor x(run.dtype, e.b, 1, e.i, 1), weight(run.dtype, e.t, e.i, e.o, 2);
  Tensor bias(run.dtype, 1, e.t, e.o, 3), y(run.dtype, e.b, 1, e.o);
  ForwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.i = e.i, problem.o = e.o;
  problem.dtype = run.dtype;
  problem.rows = rows.ranges();
  problem.x = packed(x);
  problem.weight = weight.view3();
  problem.bias = bias.view2();
  problem.y = packed(y);
  emulator::Report report;
  emulator::KernelDecision decision;
  emulator_forward(&problem, &run.request, run.schedule, &decision, &report);
  judge(run, report, largest_error(e.b, 1, e.o, y, [&](int64_t row, int64_t, int64_t o) {
          const int64_t t = rows.step_of(row);
          double sum = bias.at(0, t, o);
          for (int64_t i = 0; i < e.i; ++i) sum += x.at(row, 0, i) * weight.at(t, i, o);
          return sum;
        }));
}

void run_packed_backward(const Run& run) {
  const Extents& e = run.extents;
  const PackedRows rows;
  Tensor dz(run.dtype, e.b, 1, e.o, 1), x(run.dtype, e.b, 1, e.i, 2);
  Tensor weight(run.dtype, e.t, e.i, e.o, 3), dx(run.dtype, e.b, 1, e.i);
  Tensor dweight(run.dtype, e.t, e.i, e.o);
  BackwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.i = e.i, problem.o = e.o;
  problem.dtype = run.dtype;
  problem.rows = rows.ranges();
  problem.dz = packed(dz);
  problem.x = packed(x);
  problem.weight = weight.view3();
  problem.dx = packed(dx);
  problem.dweight = dweight.view3();
  emulator::Report report;
  emulator::KernelDecision decision;
  emulator_backward(&problem, &run.request, run.schedule, &decision, &report);
  const double dx_error = largest_error(e.b, 1, e.i, dx, [&](int64_t row, int64_t, int64_t i) {
    const int64_t t = rows.step_of(row);
    double sum = 0;
    for (int64_t o = 0; o < e.o; ++o) sum += dz.at(row, 0, o) * weight.at(t, i, o);
    return sum;
  });
  const double dweight_error =
      largest_error(e.t, e.i, e.o, dweight, [&](int64_t t, int64_t i, int64_t o) {
        double sum = 0;
        for (int64_t row = rows.begin[t]; row < rows.begin[t] + rows.count[t]; ++row) {
          sum += x.at(row, 0, i) * dz.at(row, 0, o);
        }
        return sum;
      });
  judge(run, report, std::fmax(dx_error, dweight_error));
}

void run_activation_backward(const Run& run) {
  const Extents& e = run.extents;
  Tensor dy(run.dtype, e.b, e.t, e.o, 1), saved(run.dtype, e.b, e.t, e.o, 2);
  Tensor dz(run.dtype, e.b, e.t, e.o);
  ActivationBackwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.o = e.o;
  problem.dtype = run.dtype;
  problem.activation = Activation::kTanh;
  problem.dy = dy.view3();
  problem.saved = saved.view3();
  problem.dz = dz.view3();
  emulator::Report report;
  emulator_activation_backward(&problem, run.schedule, &report);
  judge(run, report, largest_error(e.b, e.t, e.o, dz, [&](int64_t b, int64_t t, int64_t o) {
          const double y = saved.at(b, t, o);
          return dy.at(b, t, o) * (1 - y * y);
        }));
}

// Columns of 0 stand for the mma.sync kernel.
void run_example(const Extents& e, int columns, int consumers, size_t schedule) {
  constexpr DType kType = DType::kBFloat16;
  Tensor x(kType, e.b, e.t, e.i, 1), weight(kType, e.t, e.i, e.o, 2);
  Tensor bias(kType, 1, e.t, e.o, 3), y(kType, e.b, e.t, e.o);
  const auto pointer = [](Tensor& tensor) {
    return static_cast<__nv_bfloat16*>(tensor.view3().data);
  };
  const example::GemmProblem problem{int(e.b),   int(e.t),        int(e.i),      int(e.o),
                                     pointer(x), pointer(weight), pointer(bias), pointer(y)};
  emulator::Report report;
  if (columns == 0) {
    emulator_mma_sync_gemm(&problem, schedule, &report);
  } else {
    emulator_wgmma_gemm(&problem, columns, consumers, schedule, &report);
  }
  const Run run{columns == 0 ? "mma_sync" : "wgmma", e, kType, {}, schedule};
  judge(run, report, largest_error(e.b, e.t, e.o, y, [&](int64_t b, int64_t t, int64_t o) {
          return forward_sum(e, x, weight, bias, b, t, o);
        }));
}

// Every tile of every family, with whole sums and with sums that are split unevenly.
void run_family(KernelFamily family, DType dtype, const Extents& extents, size_t schedule) {
  emulator::TileFacts facts;
  for (int tile = 0; emulator_tile_facts(family, dtype, tile, &facts); ++tile) {
    for (const bool is_split : {false, true}) {
      const emulator::KernelRequest request{
          family, tile, {is_split ? 2 : 1, is_split ? 3 : 1}, /*architecture=*/90, /*sms=*/0};
      run_forward({"forward", extents, dtype, request, schedule});
      run_backward({"backward", extents, dtype, request, schedule});
    }
  }
}

// Steps with different rows.
void run_packed(KernelFamily family, DType dtype, size_t schedule) {
  const Extents extents{PackedRows::kRows, PackedRows::kSteps, 33, 40};
  emulator::TileFacts facts;
  for (int tile = 0; emulator_tile_facts(family, dtype, tile, &facts); ++tile) {
    const emulator::KernelRequest request{family, tile, {1, 1}, /*architecture=*/90, /*sms=*/0};
    run_packed_forward({"packed forward", extents, dtype, request, schedule});
    run_packed_backward({"packed backward", extents, dtype, request, schedule});
  }
}

void run_package(size_t schedule) {
  const Extents sizes[] = {{5, 3, 17, 70}, {67, 2, 80, 40}};
  for (const DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kBFloat16}) {
    for (const Extents& extents : sizes) {
      run_family(KernelFamily::kSimt, dtype, extents, schedule);
      run_family(KernelFamily::kTiny, dtype, extents, schedule);
      run_activation_backward({"activation_backward", extents, dtype, {}, schedule});
    }
    run_packed(KernelFamily::kSimt, dtype, schedule);
    run_packed(KernelFamily::kTiny, dtype, schedule);
  }
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kTFloat32}) {
    for (const Extents& extents : sizes) {
      run_family(KernelFamily::kSm80, dtype, extents, schedule);
    }
    run_packed(KernelFamily::kSm80, dtype, schedule);
  }
}

// Few multiprocessors, so that blocks and clusters compute several tiles one after another.
void run_hopper(size_t schedule) {
  const Extents whole_chunks[] = {{65, 2, 72, 72}, {130, 2, 264, 136}};
  emulator::TileFacts facts;
  for (const DType dtype : {DType::kFloat16, DType::kBFloat16, DType::kTFloat32}) {
    for (int tile = 0; emulator_tile_facts(KernelFamily::kSm90, dtype, tile, &facts); ++tile) {
      for (const Extents& extents : whole_chunks) {
        for (const int splits : {1, 2}) {
          const emulator::KernelRequest request{
              KernelFamily::kSm90, tile, {splits, 1}, /*architecture=*/90, /*sms=*/4};
          run_forward({"forward", extents, dtype, request, schedule});
        }
      }
      if (dtype == DType::kTFloat32) continue;
      for (const int splits : {1, 2}) {
        const emulator::KernelRequest request{
            KernelFamily::kSm90, tile, {splits, splits}, /*architecture=*/90, /*sms=*/2};
        run_backward({"backward", {70, 2, 72, 136}, dtype, request, schedule});
      }
    }
  }
}

void run_examples(size_t schedule) {
  const Extents whole_chunks[] = {{1, 1, 8, 8}, {65, 2, 72, 72}, {130, 2, 264, 136}};
  for (const Extents& extents : whole_chunks) {
    run_example(extents, 0, 0, schedule);
    run_example(extents, 64, 1, schedule);
    run_example(extents, 128, 1, schedule);
    run_example(extents, 128, 2, schedule);
  }
}

// Where blocks of a cluster reach each other's memory, and where wgmma takes every type.
void run_behaviours(size_t schedule) {
  for (const char* name : {"multicast_ring", "exited_threads_leave_the_cluster", "wgmma_of_f16",
                           "wgmma_of_bf16_transposed", "wgmma_of_tf32", "refill_what_was_read"}) {
    emulator::Report report;
    emulator_behaviour(name, schedule, &report);
    judge({name, {}, DType::kFloat16, {}, schedule}, report, 0);
  }
}

// Under ThreadSanitizer, a race that changes no result must be seen all the same.
// Once: it reports the same race only the first time.
void run_race() {
#ifdef __SANITIZE_THREAD__
  const int before = races;
  emulator::Report report;
  emulator_behaviour("race_without_consequence", 0, &report);
  if (races == before) {
    ++faults;
    std::printf("FAULT race_without_consequence: no race was reported\n");
  }
  races = before;
#endif
}

}  // namespace

int main(int argument_count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<size_t> schedules;
  for (int i = 1; i < argument_count; ++i) {
    schedules.push_back(std::strtoul(arguments[i], nullptr, 10));
  }
  if (schedules.empty()) {
    schedules.resize(emulator_schedule_count());
    std::iota(schedules.begin(), schedules.end(), size_t{0});
  }
  for (const size_t schedule : schedules) {
    run_package(schedule);
    run_hopper(schedule);
    run_examples(schedule);
    run_behaviours(schedule);
  }
  run_race();
  std::printf("%zu schedules, %d runs, %d faults\n", schedules.size(), runs, faults);
  return std::min(faults, 100);
}
