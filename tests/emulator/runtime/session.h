// One run of host code and of every kernel it launches: the memory they may touch, the schedule
// they run under, and what came of it.
#pragma once

#include <functional>
#include <vector>

#include "cuda_runtime_api.h"
#include "runtime/device.h"
#include "runtime/global_memory.h"
#include "runtime/report.h"
#include "runtime/schedule.h"

namespace emulator {

class Session {
 public:
  // Becomes the current session until it is destroyed; there is one at a time.
  Session(const Schedule& schedule, Report& report);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The first failure stands.
  void record_failure(const char* kind, const char* message);

  // Checks that every output was written.
  void finish();

  const Schedule schedule;
  Report& report;
  GlobalMemory memory;
  std::vector<LaunchRequest> launches;
};

Session& this_session();

// Runs `call`, host code that launches kernels, in a session of its own. `views` is everything that
// the kernels may touch. A CUDA error of the call that no launch explains is a failure too.
void run_in_session(const Schedule& schedule, const std::vector<TensorView>& views, Report& report,
                    const std::function<cudaError_t()>& call);

}  // namespace emulator
