#include "runtime/copy_groups.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/block.h"
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
  open_.push_back({smem, gmem, bytes, source_bytes, /*done=*/false});
  if (this_block().does_now(this_block().schedule.copies)) perform(open_.back());
}

void CopyGroups::perform(Copy& copy) {
  if (copy.done) return;
  copy.done = true;
  unsigned char value[16] = {};
  copy_unseen(value, copy.gmem, static_cast<size_t>(copy.source_bytes));
  race_detector::read(copy.gmem, static_cast<size_t>(copy.source_bytes));
  const auto bytes = static_cast<size_t>(copy.bytes);
  unsigned char* smem = this_block().shared.generic(copy.smem, bytes, "cp.async");
  std::memcpy(smem, value, bytes);
  race_detector::write(smem, bytes);
}

void CopyGroups::commit() {
  groups_.push_back(std::move(open_));
  open_.clear();
}

void CopyGroups::wait(int pending) {
  while (groups_.size() > static_cast<size_t>(pending)) {
    for (Copy& copy : groups_.front()) perform(copy);
    groups_.erase(groups_.begin());
  }
}

bool CopyGroups::has_pending() const {
  return !open_.empty() || std::any_of(groups_.begin(), groups_.end(),
                                       [](const Group& group) { return !group.empty(); });
}

void cp_async(uint32_t smem, const void* gmem, int bytes, int source_bytes) {
  this_thread().copies.add(smem, gmem, bytes, source_bytes);
}
void cp_async_commit_group() { this_thread().copies.commit(); }
void cp_async_wait_group(int pending) { this_thread().copies.wait(pending); }

}  // namespace emulator
