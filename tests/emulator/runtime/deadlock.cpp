#include "runtime/deadlock.h"

#include <cstdio>
#include <cstring>
#include <vector>

#include "runtime/cluster.h"

namespace emulator {
namespace {

struct WaitingGroup {
  unsigned rank;  // of the block
  char reason[200];
  unsigned count;
  unsigned first;
  unsigned last;
};

void describe_wait(const Block& block, const WaitReason& wait, char* text, size_t text_bytes) {
  switch (wait.kind) {
    case WaitReason::Kind::kNone:
      std::snprintf(text, text_bytes, "nothing");
      return;
    case WaitReason::Kind::kBarrier:
      if (wait.what[0] != '\0') {
        std::snprintf(text, text_bytes, "__syncthreads() at %s", wait.what);
      } else {
        std::snprintf(text, text_bytes, "bar.sync %u", wait.object);
      }
      return;
    case WaitReason::Kind::kWarpCollective:
      std::snprintf(text, text_bytes, "%s in warp %u, which not all of its lanes reach", wait.what,
                    wait.object);
      return;
    case WaitReason::Kind::kMbarrier: {
      const Mbarrier* barrier = block.mbarriers.find(wait.object);
      std::snprintf(text, text_bytes,
                    "the mbarrier at 0x%x, parity %u (phase %llu, %lld arrivals and %lld bytes "
                    "missing)",
                    wait.object, wait.parity, static_cast<unsigned long long>(barrier->phase),
                    static_cast<long long>(barrier->pending),
                    static_cast<long long>(barrier->expected_bytes));
      return;
    }
    case WaitReason::Kind::kClusterBarrier:
      std::snprintf(text, text_bytes, "barrier.cluster, which not all threads reach");
      return;
  }
}

void group_waiting_threads(const Block& block, std::vector<WaitingGroup>& groups) {
  for (const Thread& thread : block.threads) {
    if (thread.has_exited) continue;
    WaitingGroup own{block.rank, "", 0, thread.linear, thread.linear};
    describe_wait(block, thread.wait, own.reason, sizeof own.reason);
    WaitingGroup* group = nullptr;
    for (WaitingGroup& candidate : groups) {
      const bool is_same = std::strcmp(candidate.reason, own.reason) == 0;
      if (candidate.rank == own.rank && is_same) group = &candidate;
    }
    if (group == nullptr) {
      groups.push_back(own);
      group = &groups.back();
    }
    ++group->count;
    group->last = thread.linear;
  }
}

}  // namespace

void describe_deadlock(const Cluster& cluster, char* text, size_t text_bytes) {
  size_t used = static_cast<size_t>(
      std::snprintf(text, text_bytes, "no thread can run and no engine has work left;"));
  const char* separator = "";
  std::vector<WaitingGroup> groups;
  for (const Block& block : cluster.blocks) group_waiting_threads(block, groups);
  for (const WaitingGroup& group : groups) {
    if (used >= text_bytes) return;
    char rank[24] = "";
    if (cluster.blocks.size() > 1) std::snprintf(rank, sizeof rank, " of rank %u", group.rank);
    used += static_cast<size_t>(
        std::snprintf(text + used, text_bytes - used, "%s %u threads%s from %u to %u wait for %s",
                      separator, group.count, rank, group.first, group.last, group.reason));
    separator = ";";
  }
}

}  // namespace emulator
