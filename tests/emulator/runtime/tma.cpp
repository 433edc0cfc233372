#include "runtime/tma.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/cluster.h"
#include "runtime/failure.h"
#include "runtime/session.h"
#include "runtime/tfloat32.h"

namespace emulator {

void TmaLoads::issue(Block& target, uint32_t smem, const TensorMap& map, uint32_t barrier,
                     const int (&coordinate)[3]) {
  target.mbarriers.require_published(barrier, "TMA load");
  check_box(map, smem, target.shared, "TMA load");
  pending_.push_back({&target,
                      map,
                      smem,
                      barrier,
                      {coordinate[0], coordinate[1], coordinate[2]},
                      race_detector::create_actor()});
  if (this_cluster().schedule.copies == Timing::kEager) perform(pending_.size() - 1);
}

bool TmaLoads::has_any_into(const Block& target) const {
  return std::any_of(pending_.begin(), pending_.end(),
                     [&](const Load& load) { return load.target == &target; });
}

void TmaLoads::perform_any() {
  const size_t index = this_cluster().random.below(pending_.size());
  running_block = pending_[index].target;
  perform(index);
}

void TmaLoads::perform(size_t index) {
  const Load load = pending_[index];
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(index));
  ++this_cluster().report.counters.tma_boxes;
  {
    const race_detector::ActingAs engine(load.actor);
    copy_box(load);
    load.target->mbarriers.complete_bytes(load.barrier, static_cast<int64_t>(load.map.box_bytes()));
    this_cluster().order_before_next_cluster();
  }
  race_detector::destroy_actor(load.actor);
}

namespace {

void round_to_tf32(unsigned char (&chunk)[kChunkBytes]) {
  float values[kChunkBytes / sizeof(float)];
  std::memcpy(values, chunk, sizeof values);
  for (float& value : values) {
    const uint32_t rounded = float_to_tfloat32(value);
    std::memcpy(&value, &rounded, sizeof value);
  }
  std::memcpy(chunk, values, sizeof values);
}

}  // namespace

void TmaLoads::copy_box(const Load& load) {
  SharedMemory& shared = load.target->shared;
  const int64_t row_bytes = static_cast<int64_t>(load.map.row_bytes());
  load.target->generic_reads.check_ordered(load.smem, load.map.box_bytes());
  for_each_row(load.map, load.coordinate, load.smem, [&](const BoxRow& row) {
    if (row.gmem != nullptr) {
      const size_t bytes = static_cast<size_t>(row.end_byte - row.first_byte);
      this_session().memory.check_read(row.gmem + row.first_byte, bytes);
      race_detector::read(row.gmem + row.first_byte, bytes);
    }
    for (int64_t chunk = 0; chunk < row_bytes; chunk += kChunkBytes) {
      unsigned char value[kChunkBytes] = {};  // outside the tensor TMA fills with zeros
      const int64_t first = std::max(row.first_byte, chunk);
      const int64_t end = std::min(row.end_byte, chunk + kChunkBytes);
      if (first < end) {
        std::memcpy(value + (first - chunk), row.gmem + first, static_cast<size_t>(end - first));
      }
      if (load.map.rounds_to_tf32) round_to_tf32(value);
      const uint32_t address =
          swizzled(row.smem + static_cast<uint32_t>(chunk), load.map.swizzle_bits);
      unsigned char* smem = shared.generic(address, kChunkBytes, "TMA load");
      std::memcpy(smem, value, kChunkBytes);
      std::memcpy(shared.async(address, kChunkBytes, "TMA load"), value, kChunkBytes);
      race_detector::write(smem, kChunkBytes);
    }
  });
}

namespace {

// The bytes up to which a store overwrites the row: whole 16-byte chunks of global memory, even
// where the tensor's inner extent ends inside one.
int64_t stored_end(const TensorMap& map, const BoxRow& row) {
  const auto end_address =
      reinterpret_cast<uintptr_t>(row.gmem) + static_cast<size_t>(row.end_byte);
  const auto overhang =
      static_cast<int64_t>((kChunkBytes - end_address % kChunkBytes) % kChunkBytes);
  return std::min(row.end_byte + overhang, static_cast<int64_t>(map.row_bytes()));
}

void store_row(const TensorMap& map, const BoxRow& row) {
  SharedMemory& shared = this_block().shared;
  const int64_t stored = stored_end(map, row);
  this_session().memory.check_write(row.gmem + row.first_byte,
                                    static_cast<size_t>(stored - row.first_byte));
  for (int64_t chunk = 0; chunk < stored; chunk += kChunkBytes) {
    const int64_t first = std::max(row.first_byte, chunk);
    const int64_t end = std::min(stored, chunk + kChunkBytes);
    if (first >= end) continue;
    const auto bytes = static_cast<size_t>(end - first);
    const uint32_t address = swizzled(row.smem + static_cast<uint32_t>(chunk), map.swizzle_bits);
    race_detector::read(shared.generic(address, kChunkBytes, "TMA store"), kChunkBytes);
    const unsigned char* smem = shared.async(address, kChunkBytes, "TMA store");
    std::memcpy(row.gmem + first, smem + (first - chunk), bytes);
    race_detector::write(row.gmem + first, bytes);
  }
}

}  // namespace

void BulkStores::add(const TensorMap* map, uint32_t smem, const int (&coordinate)[3]) {
  check_tensor_map(map, "TMA store");
  check_box(*map, smem, this_block().shared, "TMA store");
  open_.push_back({map, smem, {coordinate[0], coordinate[1], coordinate[2]}});
}

void BulkStores::perform(Group& group) {
  for (const Store& store : group) {
    ++this_cluster().report.counters.tma_boxes;
    for_each_row(*store.map, store.coordinate, store.smem, [&](const BoxRow& row) {
      if (row.gmem != nullptr) store_row(*store.map, row);
    });
  }
  group.clear();
}

// A group that was performed early keeps its place, empty, for the counting of later waits.
void BulkStores::commit() {
  groups_.push_back(std::move(open_));
  open_.clear();
  if (this_cluster().does_now(this_cluster().schedule.copies)) perform(groups_.back());
}

void BulkStores::wait(int pending) {
  while (groups_.size() > static_cast<size_t>(pending)) {
    perform(groups_.front());
    groups_.erase(groups_.begin());
  }
}

bool BulkStores::has_pending() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const Group& group) { return !group.empty(); });
}

namespace {

void check_policy(uint64_t policy) {
  switch (CachePolicy{policy}) {
    case CachePolicy::kEvictNormal:
    case CachePolicy::kEvictFirst:
      return;
  }
  fail("tma", "TMA load: no createpolicy made the cache policy 0x%llx",
       static_cast<unsigned long long>(policy));
}

}  // namespace

void prefetch_tensor_map(const TensorMap* map) { check_tensor_map(map, "prefetch.tensormap"); }
void tma_load(uint32_t smem, const TensorMap* map, uint32_t barrier, const int (&coordinate)[3],
              uint64_t cache_policy) {
  check_policy(cache_policy);
  check_tensor_map(map, "TMA load");
  this_cluster().tma_loads.issue(this_block(), smem, *map, barrier, coordinate);
}
void tma_load_multicast(uint32_t smem, const TensorMap* map, uint32_t barrier,
                        const int (&coordinate)[3], uint16_t block_mask, uint64_t cache_policy) {
  check_policy(cache_policy);
  check_tensor_map(map, "TMA load");
  Cluster& cluster = this_cluster();
  if (block_mask == 0 || block_mask >> cluster.blocks.size() != 0) {
    fail("tma", "TMA load: block mask 0x%x in a cluster of %zu blocks", block_mask,
         cluster.blocks.size());
  }
  for (unsigned rank = 0; rank < cluster.blocks.size(); ++rank) {
    if ((block_mask >> rank & 1) == 0) continue;
    Block& target = cluster.reach(rank, "TMA load");
    cluster.tma_loads.issue(target, smem, *map, barrier, coordinate);
  }
}
void tma_store(const TensorMap* map, uint32_t smem, const int (&coordinate)[3]) {
  this_thread().stores.add(map, smem, coordinate);
}
void bulk_commit_group() { this_thread().stores.commit(); }
void bulk_wait_group(int pending) { this_thread().stores.wait(pending); }

}  // namespace emulator
