// Running a grid: what the driver checks, then every cluster of blocks in turn.
#include <dlfcn.h>

#include <cstdio>

#include "runtime/cluster.h"
#include "runtime/launch_control.h"
#include "runtime/session.h"

namespace emulator {
namespace {

constexpr unsigned kMostThreads = 1024;
constexpr unsigned kMostBlocksX = 0x7fffffff;
constexpr unsigned kMostBlocksYZ = 65535;
constexpr size_t kMostSharedBytes = 227 * 1024;  // sm_90, opted in

dim3 launched_grid;
dim3 launched_block;

// Writes what is wrong into `message`, or nothing.
bool is_launchable(const LaunchRequest& request, char* message, size_t message_bytes) {
  const dim3& grid = request.grid;
  const uint64_t threads = uint64_t{request.block.x} * request.block.y * request.block.z;
  if (threads == 0 || threads > kMostThreads || threads % kWarpSize != 0) {
    std::snprintf(message, message_bytes,
                  "a block of %llu threads: not a multiple of 32 in 32 .. %u",
                  static_cast<unsigned long long>(threads), kMostThreads);
    return false;
  }
  if (grid.x == 0 || grid.x > kMostBlocksX || grid.y == 0 || grid.y > kMostBlocksYZ ||
      grid.z == 0 || grid.z > kMostBlocksYZ) {
    std::snprintf(message, message_bytes, "a grid of %u x %u x %u blocks", grid.x, grid.y, grid.z);
    return false;
  }
  if (request.cluster == 0 || request.cluster > kMostClusterBlocks ||
      grid.x % request.cluster != 0) {
    std::snprintf(message, message_bytes, "%u blocks in clusters of %u, of which 1 .. %u are legal",
                  grid.x, request.cluster, kMostClusterBlocks);
    return false;
  }
  if (request.smem_bytes > kMostSharedBytes) {
    std::snprintf(message, message_bytes, "%zu bytes of shared memory: more than %zu",
                  request.smem_bytes, kMostSharedBytes);
    return false;
  }
  return true;
}

// By its mangled name, which is nvcc's as well; none where the program exports no symbols.
void name_kernel(Report& report, const void* kernel) {
  const int64_t launch = report.counters.launches;
  Dl_info info;
  if (launch >= kNamedKernels || dladdr(kernel, &info) == 0 || info.dli_sname == nullptr) return;
  std::snprintf(report.kernel[launch], sizeof report.kernel[launch], "%s", info.dli_sname);
}

}  // namespace

LaunchControl& launch_control() {
  static LaunchControl control;
  return control;
}

const dim3& grid_extent() { return launched_grid; }
const dim3& block_extent() { return launched_block; }

cudaError_t launch(const LaunchRequest& request) {
  Session& session = this_session();
  name_kernel(session.report, request.kernel);
  session.report.counters.launches++;
  session.launches.push_back(request);
  char message[128];
  if (!is_launchable(request, message, sizeof message)) {
    session.record_failure("launch", message);
    return cudaErrorInvalidConfiguration;
  }
  const LaunchControl& control = launch_control();
  if (control.failing_launch + 1 == static_cast<int>(session.launches.size())) return control.error;
  launched_grid = request.grid;
  launched_block = request.block;
  session.memory.begin_launch();
  Random seeds(session.schedule.seed);
  const auto run_cluster = [&](unsigned x, unsigned y, unsigned z) {
    session.report.counters.blocks += request.cluster;
    Cluster cluster(session.schedule, request, uint3{x, y, z}, seeds.next(), session.report);
    cluster.run();
    return session.report.ok != 0;
  };
  for (const unsigned x : control.blocks) {
    const bool is_first = x % request.cluster == 0;
    if (is_first && x < request.grid.x && !run_cluster(x, 0, 0)) return cudaErrorLaunchFailure;
  }
  if (!control.blocks.empty()) return cudaSuccess;
  for (unsigned z = 0; z < request.grid.z; ++z) {
    for (unsigned y = 0; y < request.grid.y; ++y) {
      for (unsigned x = 0; x < request.grid.x; x += request.cluster) {
        if (!run_cluster(x, y, z)) return cudaErrorLaunchFailure;
      }
    }
  }
  return cudaSuccess;
}

}  // namespace emulator
