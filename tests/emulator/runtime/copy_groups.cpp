#include "runtime/copy_groups.h"

#include <cstring>

#include "runtime/cluster.h"
#include "runtime/failure.h"

namespace emulator {

void CopyGroups::add(uint32_t smem, const void* gmem, int bytes, int source_bytes) {
  const bool legal_size = bytes == 4 || bytes == 8 || bytes == 16;
  if (!legal_size || source_bytes < 0 || source_bytes > bytes) {
    fail("cp.async", "a copy of %d of %d bytes", source_bytes, bytes);
  }
  const auto alignment = static_cast<unsigned>(bytes);
  if (smem % alignment != 0 || reinterpret_cast<uintptr_t>(gmem) % alignment != 0) {
    fail("cp.async", "shared 0x%x or global %p is not %d-byte aligned", smem, gmem, bytes);
  }
  check_global_read(gmem, static_cast<size_t>(source_bytes));
  // The race detector sees the write at the issue as well as at the completion: a reader between
  // the two is as wrong as one at either end.
  race_detector::write(this_block().shared.generic(smem, alignment, "cp.async"), alignment);
  constexpr size_t kUsualCopies = 32;
  if (copies_.empty()) copies_.reserve(kUsualCopies);
  copies_.push_back({smem, gmem, bytes, source_bytes, /*done=*/false, committed_groups_});
  if (this_cluster().does_now(this_cluster().schedule.copies)) perform(copies_.back());
}

void CopyGroups::perform(Copy& copy) {
  if (copy.done) return;
  copy.done = true;
  const auto bytes = static_cast<size_t>(copy.bytes);
  const auto source_bytes = static_cast<size_t>(copy.source_bytes);
  unsigned char* smem = this_block().shared.generic(copy.smem, bytes, "cp.async");
  if (source_bytes != 0) std::memcpy(smem, copy.gmem, source_bytes);
  std::memset(smem + source_bytes, 0, bytes - source_bytes);
  race_detector::read(copy.gmem, source_bytes);
  race_detector::write(smem, bytes);
}

void CopyGroups::commit() { ++committed_groups_; }

void CopyGroups::wait(int pending) {
  const int done_below = committed_groups_ - pending;
  auto copy = copies_.begin();
  for (; copy != copies_.end() && copy->group < done_below; ++copy) perform(*copy);
  copies_.erase(copies_.begin(), copy);
}

void cp_async(uint32_t smem, const void* gmem, int bytes, int source_bytes) {
  this_thread().copies.add(smem, gmem, bytes, source_bytes);
}
void cp_async_commit_group() { this_thread().copies.commit(); }
void cp_async_wait_group(int pending) { this_thread().copies.wait(pending); }

}  // namespace emulator
