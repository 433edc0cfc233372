// A bounded map from keys to values that can be made again: a new value replaces the one in its
// slot. Without a lock; each thread has its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace per_step_dense {

// A key is an array of int64_t.
template <class Key, class Value>
class DirectMappedCache {
 public:
  // make(value) is called where this key was not the last in its slot, and says whether there is
  // such a value; null where there is none.
  template <class Make>
  const Value* find_or_make(const Key& key, Make&& make) {
    Entry& entry = entries_[hash(key) % kEntries];
    if (!entry.is_used || entry.key != key) {
      entry.is_used = false;
      if (!make(entry.value)) return nullptr;
      entry.key = key;
      entry.is_used = true;
    }
    return &entry.value;
  }

 private:
  struct Entry {
    Key key{};
    Value value{};
    bool is_used = false;
  };

  static uint64_t hash(const Key& key) {
    uint64_t hash = 0;
    for (const int64_t value : key) hash = (hash ^ uint64_t(value)) * 0x9e3779b97f4a7c15u;
    return hash >> 32;  // the upper bits are the mixed ones
  }

  static constexpr size_t kEntries = 64;
  std::array<Entry, kEntries> entries_;
};

}  // namespace per_step_dense
