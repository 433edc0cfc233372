// The bias gradient: the columns of dz, summed over the batch by the consumers while their tiles
// lie in shared memory for the gradient of weight.
#pragma once

#include "kernels/output.cuh"
#include "kernels/pack.cuh"
#include "kernels/sm90/config.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

// Of products that have no such sums.
struct NoColumnSums {
  template <class Stage>
  __device__ __forceinline__ void add(const Stage&) const {}
};

// A thread has the columns of one 16-byte chunk, and of the terms every kShares-th. Consumers that
// share a tile share its panels. A quarter of a warp reads all chunks of a row: every bank once.
template <class Config>
class ColumnSums {
  using Scalar = typename Config::Scalar;
  using Stage = sm90::Stage<typename Config::Tile>;
  static constexpr int kPanels =
      Config::kPingpong ? Config::kPanels : Config::kPanels / Config::kConsumers;
  static constexpr int kColumns = kPanels * Config::kRowElems;
  static constexpr int kElems = kVectorBytes / sizeof(Scalar);  // of a chunk
  static constexpr int kChunksOfRow = kRowBytes / kVectorBytes;
  static constexpr int kChunks = kPanels * kChunksOfRow;
  static constexpr int kShares = kWarpgroupThreads / kChunks;  // of a column
  static_assert(kPanels > 0 && Config::kBlockK % kShares == 0, "or shares are not even");

 public:
  // `are_wanted` is the same for all threads of the consumer.
  __device__ __forceinline__ ColumnSums(int consumer, bool are_wanted)
      : first_panel_(Config::kPingpong ? 0 : consumer * kPanels), are_wanted_(are_wanted) {}

  // As TMA swizzles: a row's 16-byte chunks are XORed with its number. TMA must not overtake what
  // any of the warp's threads has read.
  __device__ __forceinline__ void add(const Stage& stage) {
    if (!are_wanted_) return;
    using Unit = Pack<Scalar, kElems>;
#pragma unroll
    for (int i = 0; i < Config::kBlockK / kShares; ++i) {
      const int row = share() + i * kShares;
      const uint32_t smem =
          ptx::cvta_to_shared(stage.b[first_panel_ + chunk() / kChunksOfRow][row]) +
          (chunk() % kChunksOfRow ^ row % 8) * kVectorBytes;
      const Unit unit = Unit::from_raw(ptx::ld_shared_v4(smem));
#pragma unroll
      for (int e = 0; e < kElems; ++e) sums_[e] += to_accum(unit.elem[e]);
    }
    ptx::fence_proxy_async();
    __syncwarp();
  }

  // Adds up the shares of each column in their order, by way of `smem`, which has kWarpgroupThreads
  // times kElems of them: the result does not depend on timing. sync() is the consumer's.
  template <class Sync>
  __device__ __forceinline__ void store(const ProductParams& params, const TilePlace& at,
                                        float* smem, Sync&& sync) const {
    if (!are_wanted_) return;
#pragma unroll
    for (int e = 0; e < kElems; ++e) smem[share() * kColumns + chunk() * kElems + e] = sums_[e];
    sync();
    for (int column = thread(); column < kColumns; column += kWarpgroupThreads) {
      const int64_t n = at.n0 + first_panel_ * Config::kRowElems + column;
      if (n >= params.gemm.n) break;
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kShares; ++i) sum += smem[i * kColumns + column];
      store(params, at, n, sum);
    }
  }

 private:
  static __device__ __forceinline__ int thread() { return threadIdx.x % kWarpgroupThreads; }
  static __device__ __forceinline__ int chunk() { return thread() % kChunks; }
  static __device__ __forceinline__ int share() { return thread() / kChunks; }

  static __device__ __forceinline__ void store(const ProductParams& params, const TilePlace& at,
                                               int64_t n, float sum) {
    const Vector& to = params.gemm.column_sums;
    if (params.is_split) {
      ptx::st_global(element_at<float>(to, at.t, n) + at.split * params.column_sum_part_elems, sum);
    } else {
      store_result<Scalar>(params.gemm, to, sum, at.t, n);
    }
  }

  int first_panel_;
  bool are_wanted_;
  float sums_[kElems] = {};
};

}  // namespace per_step_dense::sm90
