#include "runtime/generic_reads.h"

#include <algorithm>
#include <cstring>

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {

void GenericReads::add(unsigned thread, uint32_t smem) {
  if (pages_.size() <= thread) pages_.resize(thread + 1);
  std::vector<uint32_t>& pages = pages_[thread];
  const uint32_t page = smem / kPageBytes;
  if (std::find(pages.begin(), pages.end(), page) == pages.end()) pages.push_back(page);
}

void GenericReads::order(unsigned thread) {
  if (thread < pages_.size()) pages_[thread].clear();
}

void GenericReads::check_ordered(uint32_t smem, size_t bytes) const {
  const uint32_t first = smem / kPageBytes;
  const auto last = static_cast<uint32_t>((smem + bytes - 1) / kPageBytes);
  for (size_t thread = 0; thread < pages_.size(); ++thread) {
    for (const uint32_t page : pages_[thread]) {
      if (page < first || page > last) continue;
      fail("tma", "TMA load: it overwrites what thread %zu has read, without a proxy fence since",
           thread);
    }
  }
}

const unsigned char* address_to_read(uint32_t smem, size_t bytes) {
  Thread& thread = this_thread();
  const unsigned char* const address = this_block().shared.generic(smem, bytes, "ld.shared");
  this_block().generic_reads.add(thread.linear, smem);
  race_detector::read(address, bytes);
  return address;
}

}  // namespace emulator
