#include "runtime/session.h"

#include <cstdio>
#include <cstdlib>

#include "runtime/failure.h"
#include "runtime/launch_control.h"

namespace emulator {
namespace {

Session* current = nullptr;

}  // namespace

Session& this_session() {
  if (current == nullptr) {
    std::fputs("emulator: a kernel was launched outside a session\n", stderr);
    std::abort();
  }
  return *current;
}

Session::Session(const Schedule& schedule, Report& report) : schedule(schedule), report(report) {
  if (current != nullptr) {
    std::fputs("emulator: a session is open already\n", stderr);
    std::abort();
  }
  report = Report{};
  report.ok = 1;
  current = this;
}

Session::~Session() { current = nullptr; }

void Session::record_failure(const char* kind, const char* message) {
  if (report.ok == 0) return;
  report.ok = 0;
  std::snprintf(report.kind, sizeof report.kind, "%s", kind);
  std::snprintf(report.message, sizeof report.message, "%s", message);
}

void Session::finish() {
  if (report.ok == 0 || !launch_control().blocks.empty()) return;
  GlobalMemory::Element missing{};
  if (!memory.find_unwritten(missing)) return;
  fail("gmem-unwritten", "%s[%lld, %lld, %lld] was never written", missing.view->name,
       static_cast<long long>(missing.index[0]), static_cast<long long>(missing.index[1]),
       static_cast<long long>(missing.index[2]));
}

void run_in_session(const Schedule& schedule, const std::vector<TensorView>& views, Report& report,
                    const std::function<cudaError_t()>& call) {
  Session session(schedule, report);
  try {
    for (const TensorView& view : views) session.memory.add(view);
    session.memory.finish_registration();
    const cudaError_t error = call();
    if (error != cudaSuccess) {
      char message[64];
      std::snprintf(message, sizeof message, "the host code returned CUDA error %d",
                    static_cast<int>(error));
      session.record_failure("host", message);
    }
    session.finish();
  } catch (const EngineStopped&) {
    // The report says why.
  }
}

}  // namespace emulator
