// xorshift64: the same numbers on every machine, so that a schedule can be replayed by its seed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull | 1) {}

  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }

  // For bounds below 2^32. The low bits of a xorshift are its weakest.
  size_t below(size_t bound) { return static_cast<size_t>((next() >> 32) * bound >> 32); }
  bool one_in(size_t n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

}  // namespace emulator
