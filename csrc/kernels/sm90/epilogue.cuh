// What becomes of a consumer's finished sums: bias, activation, and out through shared memory by
// TMA, which reads the outputs while the consumer is at its next tile.
#pragma once

#include "kernels/activation.cuh"
#include "kernels/output.cuh"
#include "kernels/sm90/mainloop.cuh"
#include "kernels/sm90/tile_walk.cuh"
#include "kernels/sm90/turns.cuh"

namespace per_step_dense::sm90 {

__device__ __forceinline__ uint32_t packed(TypeTag<__half>, float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t bits;
  __builtin_memcpy(&bits, &pair, sizeof bits);
  return bits;
}
__device__ __forceinline__ uint32_t packed(TypeTag<__nv_bfloat16>, float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  __builtin_memcpy(&bits, &pair, sizeof bits);
  return bits;
}

// Which of a block's outputs a thread has: as wgmma deals out 64 x 64 of them, rows lane / 4 and 8
// more of its warp's 16, and of each two neighbouring columns in every 8.
struct ThreadPlace {
  uint32_t row, column;

  __device__ __forceinline__ ThreadPlace()
      : row(threadIdx.x % kWarpgroupThreads / 32 * 16 + threadIdx.x % 32 / 4),
        column(threadIdx.x % 4 * 2) {}
};

inline constexpr int kPairsOfPanel = kRowElems / 8;         // of columns, of a row
inline constexpr int kSumsOfPanel = 2 * 2 * kPairsOfPanel;  // of a thread
using PanelSums = float[kSumsOfPanel];                      // [pair][row][column]

// Calls visit(block, panel, sums) for each 64 x 64 of a consumer's sums. They move up in the
// registers, so that the code is there once, which the activations make long; after all of them
// they are where they were.
template <class Config, class Visit>
__device__ __forceinline__ void for_each_panel(Accumulators<Config>& accum, Visit&& visit) {
  constexpr int kPanels = Config::kBlocksM * Config::kPanels;
  const auto panel_of = [&](int index) -> float* {
    return accum.block[index / Config::kPanels] + index % Config::kPanels * kSumsOfPanel;
  };
#pragma unroll 1
  for (int index = 0; index < kPanels; ++index) {
    PanelSums first, sums;
#pragma unroll
    for (int i = 0; i < kSumsOfPanel; ++i) first[i] = sums[i] = panel_of(0)[i];
    visit(index / Config::kPanels, index % Config::kPanels, sums);
#pragma unroll
    for (int panel = 0; panel + 1 < kPanels; ++panel) {
#pragma unroll
      for (int i = 0; i < kSumsOfPanel; ++i) panel_of(panel)[i] = panel_of(panel + 1)[i];
    }
#pragma unroll
    for (int i = 0; i < kSumsOfPanel; ++i) panel_of(kPanels - 1)[i] = first[i];
  }
}

// The bias of a tile's columns: on its way while the tile is multiplied, so that nothing is made of
// it before.
template <class Config>
class TileBias {
  using Scalar = typename Config::Scalar;
  static constexpr int kShare = (Config::kBlockN + kWarpgroupThreads - 1) / kWarpgroupThreads;

 public:
  __device__ __forceinline__ TileBias(const ForwardParams& params, const TilePlace& at) {
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      const int64_t n = at.n0 + column(i);
      const bool is_there = params.gemm.bias.data && n < params.gemm.n;
      bias_[i] =
          is_there ? ptx::ld_global_nc(element_at<Scalar>(params.gemm.bias, at.t, n)) : Scalar{};
    }
  }

  __device__ __forceinline__ void write(float (&smem)[Config::kBlockN]) const {
#pragma unroll
    for (int i = 0; i < kShare; ++i) {
      if (column(i) < Config::kBlockN) smem[column(i)] = to_accum(bias_[i]);
    }
  }

 private:
  static __device__ __forceinline__ int column(int i) {
    return threadIdx.x % kWarpgroupThreads + i * kWarpgroupThreads;
  }

  Scalar bias_[kShare];
};

template <class Config>
class Epilogue {
  using Scalar = typename Config::Scalar;
  using Storage = SharedStorage<typename Config::Tile>;

 public:
  __device__ __forceinline__ Epilogue(const ForwardParams& params, Storage& smem, int consumer)
      : params_(params),
        smem_outputs_(smem.outputs[consumer]),
        smem_bias_(smem.bias[consumer]),
        consumer_(consumer),
        first_row_(Config::kPingpong ? 0 : consumer * Config::kConsumerRows) {}

  __device__ __forceinline__ void store(const TilePlace& at, const TileBias<Config>& bias,
                                        Accumulators<Config>& accum) const {
    if (params_.is_split) {
      store_parts(at, accum);
      return;
    }
    bias.write(smem_bias_);
    if (params_.gemm.z.data) store_outputs(params_.z, Activation::kNone, at, accum);
    store_outputs(params_.y, params_.gemm.activation, at, accum);
  }

  // Before the block's shared memory is gone.
  __device__ __forceinline__ void finish() const {
    if (is_leader()) ptx::cp_async_bulk_wait_group_read<0>();
  }

 private:
  static __device__ __forceinline__ bool is_leader() {
    return threadIdx.x % kWarpgroupThreads == 0;
  }
  __device__ __forceinline__ void sync() const {
    ptx::bar_sync(barrier_of_consumer(consumer_), kWarpgroupThreads);
  }

  __device__ __forceinline__ void store_outputs(const CUtensorMap& map, Activation activation,
                                                const TilePlace& at,
                                                Accumulators<Config>& accum) const {
    finish();  // the outputs before these are read
    sync();
    for_each_panel<Config>(accum, [&](int block, int panel, PanelSums& sums) {
      if (at.n0 + panel * kRowElems >= params_.gemm.n) return;
      add_bias(panel, sums);
      activate_all(activation, sums);
      write(block, panel, sums);
    });
    ptx::fence_proxy_async();
    sync();
    if (is_leader()) store_panels(map, at);
  }

  __device__ __forceinline__ void add_bias(int panel, PanelSums& sums) const {
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
      const float* const smem = smem_bias_ + panel * kRowElems + pair * 8 + thread_.column;
      const float2 bias = *reinterpret_cast<const float2*>(smem);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        sums[pair * 4 + row * 2] += bias.x;
        sums[pair * 4 + row * 2 + 1] += bias.y;
      }
    }
  }

  // As TMA swizzles: a row's 16-byte chunks are XORed with its number. A warp's stores of a pair
  // lie in different banks.
  __device__ __forceinline__ void write(int block, int panel, const PanelSums& sums) const {
    unsigned char* const smem = smem_outputs_.panel[panel][block * kWgmmaRows + thread_.row];
#pragma unroll
    for (int pair = 0; pair < kPairsOfPanel; ++pair) {
      const uint32_t chunk = pair ^ thread_.row % 8;
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        *reinterpret_cast<uint32_t*>(smem + row * 8 * kRowBytes + chunk * 16 +
                                     thread_.column * kElementBytes) =
            packed(TypeTag<Scalar>{}, sums[pair * 4 + row * 2], sums[pair * 4 + row * 2 + 1]);
      }
    }
  }

  // What lies wholly outside stays here.
  __device__ __forceinline__ void store_panels(const CUtensorMap& map, const TilePlace& at) const {
    const int32_t m = at.m0 + first_row_;
    if (m >= params_.gemm.m) return;
#pragma unroll
    for (int panel = 0; panel < Config::kPanels; ++panel) {
      const int32_t n = at.n0 + panel * kRowElems;
      if (n >= params_.gemm.n) break;
      ptx::cp_async_bulk_tensor_store(&map, ptx::cvta_to_shared(smem_outputs_.panel[panel]), n,
                                      at.t, m);
    }
    ptx::cp_async_bulk_commit_group();
  }

  // N is a multiple of 8, so that pairs lie wholly inside or outside.
  __device__ __forceinline__ void store_parts(const TilePlace& at,
                                              Accumulators<Config>& accum) const {
    const Gemm& gemm = params_.gemm;
    for_each_panel<Config>(accum, [&](int block, int panel, const PanelSums& sums) {
      const int64_t m = at.m0 + first_row_ + block * kWgmmaRows + thread_.row;
      const int64_t n = at.n0 + panel * kRowElems + thread_.column;
      float* const gmem = element_at<float>(gemm.c, at.t, m, n) + at.split * params_.part_elems;
#pragma unroll
      for (int pair = 0; pair < kPairsOfPanel; ++pair) {
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          if (n + pair * 8 >= gemm.n || m + row * 8 >= gemm.m) continue;
          ptx::st_global(reinterpret_cast<float2*>(gmem + row * 8 * gemm.c.stride_m + pair * 8),
                         make_float2(sums[pair * 4 + row * 2], sums[pair * 4 + row * 2 + 1]));
        }
      }
    });
  }

  const ForwardParams& params_;
  Outputs<typename Config::Tile>& smem_outputs_;
  float (&smem_bias_)[Config::kBlockN];
  int consumer_, first_row_;
  ThreadPlace thread_;
};

}  // namespace per_step_dense::sm90
