// The compile-time values of a kernel.
#pragma once

#include "kernels/scalar.cuh"
#include "kernels/sm90/shared_storage.h"

namespace per_step_dense::sm90 {

template <class Scalar_, class Tile_, bool kHasRanges_>
struct Config : Tile_ {
  using Scalar = Scalar_;
  using Tile = Tile_;
  static constexpr bool kHasRanges = kHasRanges_;  // of rows, which differ from step to step

  // A consumer's sums: so many times 64 rows of a product, of which each thread has kAccums. Rows
  // of swapped operands' products are columns of the tile.
  static constexpr int kBlocks =
      (Tile::kSwapsOperands ? Tile::kConsumerColumns : Tile::kConsumerRows) / kWgmmaRows;
  static constexpr int kProductColumns = Tile::kSwapsOperands ? Tile::kBlockM : Tile::kBlockN;
  static constexpr int kAccums = kProductColumns / 2;

  // The barriers of a stage: its fetching thread says what it is full of; the warps that have read
  // it say that it is empty, to every block that fetches for them.
  static constexpr int kReaders = 4 * (Tile::kPingpong ? 1 : Tile::kConsumers) * Tile::kCluster;

  // What the compiler may give every thread, and what the roles make of it. A lone consumer has
  // enough from the start.
  static constexpr bool kSharesRegisters = Tile::kConsumers > 1;
  static constexpr int kEntryRegisters = 65536 / Tile::kThreads / 8 * 8;
  static constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;
  static_assert(!kSharesRegisters || (kProducerRegisters + Tile::kConsumers * kConsumerRegisters) *
                                             kWarpgroupThreads <=
                                         kEntryRegisters * Tile::kThreads,
                "or setmaxnreg.inc waits for ever");
};

// Where a consumer's share of a tile begins.
template <class Config>
__device__ __forceinline__ int first_row(int consumer) {
  return Config::kConsumerRows < Config::kBlockM ? consumer * Config::kConsumerRows : 0;
}
template <class Config>
__device__ __forceinline__ int first_column(int consumer) {
  return Config::kConsumerColumns < Config::kBlockN ? consumer * Config::kConsumerColumns : 0;
}

}  // namespace per_step_dense::sm90
