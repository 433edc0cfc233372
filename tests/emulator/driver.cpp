// A stand-alone run of every operation and every example kernel, for the sanitizers that a Python
// process cannot load: ThreadSanitizer above all.
//
//   driver [schedules]     all of them unless told; the exit status is the number of faults
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "bridge.h"

using namespace per_step_dense;

// Counts the races that ThreadSanitizer reports; nothing calls it in other builds.
static int races = 0;
extern "C" void __tsan_on_report(void*) { ++races; }
// The exit status is ours.
extern "C" const char* __tsan_default_options() { return "exitcode=0"; }

namespace {

size_t schedules_to_run = 0;
int faults = 0;

struct Extents {
  int64_t b, t, i, o;
};

std::vector<float> random_values(int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

// A contiguous tensor: (rows, columns, depth) indexed in doubles or pointed at as floats.
struct Tensor {
  Tensor(int64_t extent0, int64_t extent1, int64_t extent2, unsigned seed)
      : extent1(extent1),
        extent2(extent2),
        values(random_values(extent0 * extent1 * extent2, seed)) {}
  // An output.
  Tensor(int64_t extent0, int64_t extent1, int64_t extent2)
      : extent1(extent1),
        extent2(extent2),
        values(static_cast<size_t>(extent0 * extent1 * extent2), NAN) {}

  float& at(int64_t i, int64_t j, int64_t k) {
    return values[static_cast<size_t>((i * extent1 + j) * extent2 + k)];
  }
  View3 view3() { return {values.data(), {extent1 * extent2, extent2, 1}}; }
  View2 view2() { return {values.data(), {extent2, 1}}; }

  int64_t extent1, extent2;
  std::vector<float> values;
};

// The largest error of `actual(i, j, k)` against `expected`, relative to its magnitude.
template <class Actual, class Expected>
double largest_error(int64_t n0, int64_t n1, int64_t n2, Actual&& actual, Expected&& expected) {
  double largest = 0;
  for (int64_t i = 0; i < n0; ++i) {
    for (int64_t j = 0; j < n1; ++j) {
      for (int64_t k = 0; k < n2; ++k) {
        const double wanted = expected(i, j, k);
        const double error = std::abs(actual(i, j, k) - wanted) / (1 + std::abs(wanted));
        if (!(error <= largest)) largest = std::isnan(error) ? INFINITY : error;
      }
    }
  }
  return largest;
}

void judge(const char* what, const Extents& extents, size_t schedule,
           const emulator::Report& report, double error, double tolerance) {
  static int races_before = 0;
  const bool raced = races != races_before;
  races_before = races;
  if (report.ok && error <= tolerance && !raced) return;
  ++faults;
  std::printf("FAULT %s B%lld T%lld I%lld O%lld schedule %s: error %.3g%s %s %s\n", what,
              static_cast<long long>(extents.b), static_cast<long long>(extents.t),
              static_cast<long long>(extents.i), static_cast<long long>(extents.o),
              emulator_schedule_name(schedule), error, raced ? ", a data race" : "", report.kind,
              report.message);
}

void run_forward(const Extents& e, size_t schedule) {
  Tensor x(e.b, e.t, e.i, 1), weight(e.t, e.i, e.o, 2), bias(1, e.t, e.o, 3), y(e.b, e.t, e.o);
  ForwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.i = e.i, problem.o = e.o;
  problem.x = x.view3();
  problem.weight = weight.view3();
  problem.bias = bias.view2();
  problem.y = y.view3();
  emulator::Report report;
  emulator_forward(&problem, schedule, &report);
  const auto expected = [&](int64_t b, int64_t t, int64_t o) {
    double sum = bias.at(0, t, o);
    for (int64_t i = 0; i < e.i; ++i) sum += double{x.at(b, t, i)} * weight.at(t, i, o);
    return sum;
  };
  const auto actual = [&](int64_t b, int64_t t, int64_t o) { return y.at(b, t, o); };
  judge("forward", e, schedule, report, largest_error(e.b, e.t, e.o, actual, expected), 5e-5);
}

void run_backward(const Extents& e, size_t schedule) {
  Tensor dz(e.b, e.t, e.o, 1), x(e.b, e.t, e.i, 2), weight(e.t, e.i, e.o, 3);
  Tensor dx(e.b, e.t, e.i), dweight(e.t, e.i, e.o), dbias(1, e.t, e.o);
  BackwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.i = e.i, problem.o = e.o;
  problem.dz = dz.view3();
  problem.x = x.view3();
  problem.weight = weight.view3();
  problem.dx = dx.view3();
  problem.dweight = dweight.view3();
  problem.dbias = dbias.view2();
  emulator::Report report;
  emulator_backward(&problem, schedule, &report);
  const double dx_error = largest_error(
      e.b, e.t, e.i, [&](int64_t b, int64_t t, int64_t i) { return dx.at(b, t, i); },
      [&](int64_t b, int64_t t, int64_t i) {
        double sum = 0;
        for (int64_t o = 0; o < e.o; ++o) sum += double{dz.at(b, t, o)} * weight.at(t, i, o);
        return sum;
      });
  const double dweight_error = largest_error(
      e.t, e.i, e.o, [&](int64_t t, int64_t i, int64_t o) { return dweight.at(t, i, o); },
      [&](int64_t t, int64_t i, int64_t o) {
        double sum = 0;
        for (int64_t b = 0; b < e.b; ++b) sum += double{x.at(b, t, i)} * dz.at(b, t, o);
        return sum;
      });
  const double dbias_error = largest_error(
      1, e.t, e.o, [&](int64_t, int64_t t, int64_t o) { return dbias.at(0, t, o); },
      [&](int64_t, int64_t t, int64_t o) {
        double sum = 0;
        for (int64_t b = 0; b < e.b; ++b) sum += dz.at(b, t, o);
        return sum;
      });
  const double error = std::fmax(dx_error, std::fmax(dweight_error, dbias_error));
  judge("backward", e, schedule, report, error, 5e-5);
}

void run_activation_backward(const Extents& e, size_t schedule) {
  Tensor dy(e.b, e.t, e.o, 1), saved(e.b, e.t, e.o, 2), dz(e.b, e.t, e.o);
  ActivationBackwardProblem problem{};
  problem.b = e.b, problem.t = e.t, problem.o = e.o;
  problem.activation = Activation::kTanh;
  problem.dy = dy.view3();
  problem.saved = saved.view3();
  problem.dz = dz.view3();
  emulator::Report report;
  emulator_activation_backward(&problem, schedule, &report);
  const auto expected = [&](int64_t b, int64_t t, int64_t o) {
    const double y = saved.at(b, t, o);
    return dy.at(b, t, o) * (1 - y * y);
  };
  const auto actual = [&](int64_t b, int64_t t, int64_t o) { return dz.at(b, t, o); };
  judge("activation_backward", e, schedule, report, largest_error(e.b, e.t, e.o, actual, expected),
        5e-5);
}

std::vector<__nv_bfloat16> to_bfloat16(Tensor& tensor) {
  std::vector<__nv_bfloat16> rounded;
  for (float& value : tensor.values) {
    rounded.push_back(__float2bfloat16_rn(value));
    value = __bfloat162float(rounded.back());
  }
  return rounded;
}

// Columns of 0 stand for the mma.sync kernel.
void run_example(const Extents& e, int columns, int consumers, size_t schedule) {
  Tensor x(e.b, e.t, e.i, 1), weight(e.t, e.i, e.o, 2), bias(1, e.t, e.o, 3);
  const auto x16 = to_bfloat16(x), weight16 = to_bfloat16(weight), bias16 = to_bfloat16(bias);
  std::vector<__nv_bfloat16> y16(static_cast<size_t>(e.b * e.t * e.o), {0xffff});
  const example::GemmProblem problem{int(e.b),   int(e.t),        int(e.i),      int(e.o),
                                     x16.data(), weight16.data(), bias16.data(), y16.data()};
  emulator::Report report;
  if (columns == 0) {
    emulator_mma_sync_gemm(&problem, schedule, &report);
  } else {
    emulator_wgmma_gemm(&problem, columns, consumers, schedule, &report);
  }
  const auto expected = [&](int64_t b, int64_t t, int64_t o) {
    double sum = bias.at(0, t, o);
    for (int64_t i = 0; i < e.i; ++i) sum += double{x.at(b, t, i)} * weight.at(t, i, o);
    return sum;
  };
  const auto actual = [&](int64_t b, int64_t t, int64_t o) {
    return __bfloat162float(y16[static_cast<size_t>((b * e.t + t) * e.o + o)]);
  };
  char what[32];
  std::snprintf(what, sizeof what, columns == 0 ? "mma_sync" : "wgmma %dx%d", columns, consumers);
  judge(what, e, schedule, report, largest_error(e.b, e.t, e.o, actual, expected), 6e-3);
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
  schedules_to_run = emulator_schedule_count();
  if (argument_count > 1) {
    schedules_to_run = std::min(schedules_to_run, std::strtoul(arguments[1], nullptr, 10));
  }
  const Extents any_size[] = {{1, 1, 1, 1}, {5, 3, 17, 70}, {130, 2, 37, 66}};
  const Extents whole_chunks[] = {{1, 1, 8, 8}, {65, 2, 72, 72}, {130, 2, 264, 136}};
  for (size_t schedule = 0; schedule < schedules_to_run; ++schedule) {
    for (const Extents& extents : any_size) {
      run_forward(extents, schedule);
      run_backward(extents, schedule);
      run_activation_backward(extents, schedule);
    }
    for (const Extents& extents : whole_chunks) {
      run_example(extents, 0, 0, schedule);
      run_example(extents, 64, 1, schedule);
      run_example(extents, 128, 1, schedule);
      run_example(extents, 128, 2, schedule);
    }
  }
  run_race();
  std::printf("%zu schedules, %d faults\n", schedules_to_run, faults);
  return faults < 100 ? faults : 100;
}
