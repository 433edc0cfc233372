// The compile-time values of a kernel, and its tiles in shared memory.
#pragma once

#include <type_traits>

#include "kernels/pack.cuh"
#include "kernels/scalar.cuh"
#include "kernels/sm80/tiles.h"
#include "kernels/tiled/coordinates.h"
#include "kernels/tiled/products.h"

namespace per_step_dense::sm80 {

using tiled::Major;

// Scalar float means tfloat32.
template <class Scalar_, class Tile, class Product_>
struct Config {
  using Scalar = Scalar_;
  using Accum = float;
  using Product = Product_;
  static constexpr bool kSumsRows = Product::kSumsRows;
  using Shape = std::conditional_t<kSumsRows, typename Tile::GradWeight, typename Tile::Rows>;
  static constexpr int kBlockM = Shape::kBlockM, kBlockN = Shape::kBlockN;
  static constexpr int kBlockK = kBlockKBytes / sizeof(Scalar);
  static constexpr int kStages = Shape::kStages;
  static constexpr int kThreads = Tile::kThreads;
  static constexpr int kBlocksPerSm = Tile::kBlocksPerSm;

  // A warp's outputs lie in fragments of 16 x 8.
  static constexpr int kWarpM = Shape::kWarpM, kWarpN = Shape::kWarpN;
  static constexpr int kWarpsN = kBlockN / kWarpN;
  static constexpr int kFragmentsM = kWarpM / 16, kFragmentsN = kWarpN / 8;

  // Of mma.sync, whose k is 32 bytes: m16n8k16 of 16 bits, m16n8k8 of 32.
  static constexpr int kStepBytes = 32;
  static constexpr int kSteps = kBlockKBytes / kStepBytes;

  static constexpr bool kRealigns = true;
  static constexpr int kUnrolledCopies = 4, kUnrolledCopiesInside = 4;
  static constexpr int kChunksInFlight = chunks_in_flight(kWarpM * kWarpN);
  static constexpr int kElementsInFlight = elements_in_flight(kWarpM * kWarpN);

  static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0, "or fragments do not tile a warp's outputs");
};

// An operand's tile in one stage of the pipeline: lines without padding. Units of a line are
// permuted among each other, differently from line to line, so that what a warp reads at once
// lies in different banks: a unit each of 8 lines by ldmatrix, of 4 lines by loads of 32 bits.
template <class Config, int kRows_, Major kMajor_>
struct OperandTile {
  using Scalar = typename Config::Scalar;
  static constexpr int kRows = kRows_;
  static constexpr Major kMajor = kMajor_;
  static constexpr bool kIsTransposed = kMajor == Major::kRow;
  static constexpr int kLines = kIsTransposed ? Config::kBlockK : kRows;
  static constexpr int kLineBytes = (kIsTransposed ? kRows : Config::kBlockK) * sizeof(Scalar);

  static constexpr int kUnitBytes = kIsTransposed && sizeof(Scalar) == 4 ? 32 : 16;
  static constexpr int kAllBanksBytes = 128;
  static constexpr int kUnits = (kLineBytes < kAllBanksBytes ? kLineBytes : kAllBanksBytes) /
                                kUnitBytes;  // permuted among each other
  static constexpr int kLinesInAllBanks = kAllBanksBytes / (kUnits * kUnitBytes);

  alignas(kVectorBytes) unsigned char bytes[kLines * kLineBytes];

  // XORed to the place of a byte inside the line.
  static __device__ __forceinline__ unsigned permutation(unsigned line) {
    return line / kLinesInAllBanks % kUnits * kUnitBytes;
  }

  __device__ __forceinline__ Scalar* at(unsigned row, unsigned k) {
    return reinterpret_cast<Scalar*>(bytes + offset(row, k));
  }
  __device__ __forceinline__ const Scalar* at(unsigned row, unsigned k) const {
    return reinterpret_cast<const Scalar*>(bytes + offset(row, k));
  }

 private:
  static __device__ __forceinline__ unsigned offset(unsigned row, unsigned k) {
    const unsigned line = kIsTransposed ? k : row, elem = kIsTransposed ? row : k;
    return line * kLineBytes + ((elem * unsigned(sizeof(Scalar))) ^ permutation(line));
  }
};

template <class Config>
struct Stage {
  OperandTile<Config, Config::kBlockM, Config::Product::kMajorA> a;
  OperandTile<Config, Config::kBlockN, Config::Product::kMajorB> b;
};

template <class Config>
struct SharedStorage {
  Stage<Config> stage[Config::kStages];  // when all are read, the tile's sums
  tiled::StepSearch search;
  tiled::Coordinates at;  // for the epilogue: the main loop needs the registers

  static_assert(sizeof stage == Config::Shape::kPipelineBytes, "or the plan asks for other sizes");
  static_assert(sizeof stage >= Config::kBlockM * Config::kBlockN * sizeof(float),
                "or the sums have no room");
};

}  // namespace per_step_dense::sm80
