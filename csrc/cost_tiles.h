// What the families of tiles have in common: multiprocessors take blocks as they come, and the
// blocks' operands come through L2.
#pragma once

#include "cost_parts.h"

namespace per_step_dense::cost {

// Outputs of a block, and the terms of a stage of its pipeline.
struct TileSize {
  int m, n, k;
};

// A product's blocks, alike but at the edges.
struct Blocks {
  double count = 0;
  double k_steps = 0;  // of a block, each a stage of its pipeline
};

// By Product.
struct TileSizes {
  TileSize of[kMaxProducts];
};
struct BlocksOfProducts {
  Blocks of[kMaxProducts];

  double count() const { return of[0].count + of[1].count; }
};

BlocksOfProducts blocks_of(const Products& products, const TileSizes& tiles, const Choice& choice);

// How many blocks a multiprocessor holds at a time, of at most `most`.
double residents_of(double blocks, int most, const Architecture& architecture);

// Full rounds of blocks, then what is left over. `block_us` by Product.
double waves_us(const BlocksOfProducts& blocks, const double (&block_us)[kMaxProducts],
                double residents, const Architecture& architecture);

// Every block reads the lines of its own operands.
double l2_us(const Products& products, const TileSizes& tiles, const BlocksOfProducts& blocks,
             const Choice& choice, DType dtype, const Architecture& architecture);

// Elements of 16 bits that cp.async cannot copy come through registers, so many of a thread at a
// time: from rows that begin at odd elements, or one by one.
struct InFlight {
  int of_odd_rows, one_by_one;
};

// What a thread waits for them in a k-step. All other copies are under way while it computes.
double register_copies_us(const tiled::OperandAccesses& accesses, const TileSize& tile, int threads,
                          const InFlight& in_flight);

}  // namespace per_step_dense::cost
