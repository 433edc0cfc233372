// What a block keeps in shared memory. Host code asks for its size.
#pragma once

#include <cstdint>

#include "kernels/sm90/tiles.h"

namespace per_step_dense::sm90 {

// The 128-byte swizzle is a function of the address: its pattern repeats every 8 rows.
inline constexpr int kSwizzleBytes = 8 * kRowBytes;

// One stage of the pipeline.
template <class Tile>
struct alignas(kSwizzleBytes) Stage {
  // Along k: (BLK_M, BLK_K). Along its rows: (panel of m, BLK_K, row), likewise of 128-byte rows.
  unsigned char a[Tile::kBlockM][kRowBytes];
  // Along its rows: (panel of n, BLK_K, row). Along k: (panel of n, row, BLK_K).
  unsigned char b[Tile::kPanels][Tile::kBlockK][kRowBytes];
};

// A consumer's finished outputs on their way to global memory.
template <class Tile>
struct alignas(kSwizzleBytes) Outputs {
  unsigned char panel[Tile::kConsumerPanels][Tile::kConsumerRows][kRowBytes];
};

template <class Tile>
struct SharedStorage {
  Stage<Tile> stage[Tile::kStages];
  Outputs<Tile> outputs[Tile::kConsumers];
  float bias[Tile::kConsumers][Tile::kConsumerColumns];
  uint64_t full[Tile::kStages], empty[Tile::kStages];  // mbarriers
};

inline constexpr size_t kMostSmemBytes = 227 * 1024;  // of a block, on sm_90

}  // namespace per_step_dense::sm90
