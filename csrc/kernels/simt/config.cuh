// The compile-time values of a kernel, its tiles in shared memory, and who owns which output.
#pragma once

#include "kernels/pack.cuh"
#include "kernels/scalar.cuh"
#include "kernels/simt/tiles.h"
#include "kernels/sums.cuh"
#include "kernels/tiled/coordinates.h"
#include "kernels/tiled/products.h"

namespace per_step_dense::simt {

using tiled::Major;

constexpr int min_of(int a, int b) { return a < b ? a : b; }
constexpr int max_of(int a, int b) { return a > b ? a : b; }

template <class Scalar_, class Tile>
struct Config {
  using Scalar = Scalar_;
  using Accum = AccumOf<Scalar>;
  static constexpr int kBlockM = Tile::kBlockM, kBlockN = Tile::kBlockN;
  static constexpr int kBlockK = kBlockKBytes / sizeof(Scalar);
  static constexpr int kThreadM = Tile::kThreadM, kThreadN = Tile::kThreadN;
  static constexpr int kThreadsM = kBlockM / kThreadM, kThreadsN = kBlockN / kThreadN;
  static constexpr int kThreads = Tile::kThreads;
  // float64 takes twice the registers.
  static constexpr int kBlocksPerSm = blocks_per_sm(Tile::kBlocksPerSm, sizeof(Scalar));
  static constexpr int kStages = Tile::kStages;

  // A warp is 8 x 4 threads, or 4 x 8: the rows of A and B it reads at a time are few enough that
  // one access of shared memory serves them.
  static constexpr int kLanesM = min_of(8, kThreadsM), kLanesN = 32 / kLanesM;
  static constexpr int kWarpsN = kThreadsN / kLanesN;

  // A thread's neighbouring outputs, and what it reads at a time of a tile whose rows are
  // contiguous: one vector.
  static constexpr int kVectorElems = kVectorBytes / sizeof(Scalar);
  static constexpr int kGroupM = min_of(kVectorElems, kThreadM);
  static constexpr int kGroupN = min_of(kVectorElems, kThreadN);

  // Sums in float32 take two levels; float64 has digits to spare, and no registers.
  static constexpr bool kFolds = sizeof(Accum) == sizeof(float);

  // Terms a thread reads at a time of a tile that is contiguous along k: a vector, or what the
  // accumulators of the largest tile leave registers for.
  static constexpr int kAccumRegisters =
      kThreadM * kThreadN * int(sizeof(Accum) / 4) * (kFolds ? 2 : 1);
  static constexpr int kTermsThatFit = kAccumRegisters < 128 ? kVectorElems : kFolds ? 4 : 1;
  static constexpr int kTermsPerRead = min_of(kTermsThatFit, kVectorElems);

  // Reads whose products are unrolled: about a thousand multiplications, fewer where elements are
  // converted or wide.
  static constexpr int kUnrolledProducts = sizeof(Scalar) == 4 ? 1024 : 128;
  static constexpr int kUnrolledReads =
      min_of(max_of(kUnrolledProducts / (kThreadM * kThreadN * kTermsPerRead), 1),
             kBlockK / kTermsPerRead);

  // Of copies, places; through registers, elements: more would not fit beside the accumulators.
  static constexpr bool kRealigns = false;
  static constexpr int kUnrolledCopies = 2, kUnrolledCopiesInside = 1;
  static constexpr int kElementsInFlight = kThreadM * kThreadN > 16 ? 4 : 2;

  static_assert(kThreadsM % kLanesM == 0 && kThreadsN % kLanesN == 0, "or warps do not tile it");
  static_assert(kTermsPerFold % kBlockK == 0, "or a fold falls inside a k-tile");
  static_assert(kThreads % kBlockM == 0 || kBlockM % kThreads == 0, "or copies are not even");
  static_assert(kThreads % kBlockN == 0 || kBlockN % kThreads == 0, "or copies are not even");
};

// An operand's tile in one stage of the pipeline. Lines are one vector longer than they need be:
// eight neighbouring ones, which are read at once, then lie in different banks. Where each line is
// a row, and a thread takes kGroup neighbouring rows, the first ones of all groups are neighbouring
// lines, then the second ones, and so on: threads read the i-th of their groups at once.
template <class Config, int kRows_, Major kMajor_, int kGroup_>
struct OperandTile {
  using Scalar = typename Config::Scalar;
  static constexpr int kRows = kRows_;
  static constexpr Major kMajor = kMajor_;
  static constexpr int kGroup = kGroup_;
  static constexpr int kLines = kMajor == Major::kK ? kRows : Config::kBlockK;
  static constexpr int kElems = kMajor == Major::kK ? Config::kBlockK : kRows;

  alignas(kVectorBytes) Scalar line[kLines][kElems + Config::kVectorElems];

  __device__ __forceinline__ Scalar* at(int row, int k) {
    return kMajor == Major::kK ? &line[line_of(row)][k] : &line[k][row];
  }
  __device__ __forceinline__ const Scalar* at(int row, int k) const {
    return kMajor == Major::kK ? &line[line_of(row)][k] : &line[k][row];
  }

 private:
  static __device__ __forceinline__ unsigned line_of(unsigned row) {
    return row % kGroup * (kRows / kGroup) + row / kGroup;
  }
};

template <class Config, class Product>
struct Stage {
  OperandTile<Config, Config::kBlockM, Product::kMajorA, 1> a;
  OperandTile<Config, Config::kBlockN, Product::kMajorB, Config::kGroupN> b;
};

template <class Config, class Product>
struct SharedStorage {
  Stage<Config, Product> stage[Config::kStages];
  tiled::StepSearch search;
  tiled::Coordinates at;  // not in registers while the sums are
};

// A thread's i-th row and j-th column of outputs, inside the tile. Columns come in groups of
// neighbours, to be stored together; so do rows where A's tile is contiguous along them. Where it
// is contiguous along k, neighbouring threads take neighbouring rows, whose banks differ.
template <class Config>
struct ThreadOutputs {
  int thread_m, thread_n;

  // Lanes i and i ^ 1 share their columns, i and i ^ 2 their rows: where all pairs of lanes read
  // the same 16 bytes, a warp's read takes two requests, else four.
  __device__ __forceinline__ ThreadOutputs() {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int lane_m = lane / (2 * Config::kLanesN) * 2 + lane % 2;
    const int lane_n = lane / 2 % Config::kLanesN;
    thread_m = warp / Config::kWarpsN * Config::kLanesM + lane_m;
    thread_n = warp % Config::kWarpsN * Config::kLanesN + lane_n;
  }

  template <Major kMajorA>
  __device__ __forceinline__ int row(int i) const {
    if constexpr (kMajorA == Major::kK) return thread_m + i * Config::kThreadsM;
    constexpr int kGroup = Config::kGroupM;
    return (i / kGroup * Config::kThreadsM + thread_m) * kGroup + i % kGroup;
  }

  __device__ __forceinline__ int column(int j) const {
    constexpr int kGroup = Config::kGroupN;
    return (j / kGroup * Config::kThreadsN + thread_n) * kGroup + j % kGroup;
  }
};

}  // namespace per_step_dense::simt
