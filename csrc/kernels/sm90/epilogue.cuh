// What becomes of a consumer's finished sums: bias, activation, and out through shared memory by
// TMA, which reads the outputs while the consumer is at its next tile.
#pragma once

#include <type_traits>

#include "kernels/activation.cuh"
#include "kernels/sm90/bias.cuh"
#include "kernels/sm90/outputs_16bit.cuh"
#include "kernels/sm90/outputs_tf32.cuh"
#include "kernels/sm90/turns.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class Epilogue {
  using Storage = SharedStorage<typename Config::Tile>;
  using OwnOutputs =
      std::conditional_t<Config::kSwapsOperands, OutputsOfTf32<Config>, OutputsOf16Bits<Config>>;

 public:
  __device__ __forceinline__ Epilogue(const ForwardParams& params, Storage& smem, int consumer)
      : params_(params),
        smem_outputs_(smem.outputs[consumer]),
        smem_bias_(smem.bias[consumer]),
        consumer_(consumer),
        outputs_(params, smem, consumer) {}

  __device__ __forceinline__ void store(const TilePlace& at, const TileBias<Config>& bias,
                                        Accumulators<Config>& accum) const {
    if (params_.is_split) {
      for_each_panel<Config>(accum, [&](int block, int panel, const PanelSums& sums) {
        outputs_.store_parts(at, block, panel, sums);
      });
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
      if (!outputs_.is_any_there(at, panel)) return;
      outputs_.add_bias(panel, sums);
      activate_all(activation, sums);
      outputs_.write(block, panel, sums);
    });
    ptx::fence_proxy_async();
    sync();
    if (is_leader()) store_panels(map, at);
  }

  // What lies wholly outside stays here.
  __device__ __forceinline__ void store_panels(const CUtensorMap& map, const TilePlace& at) const {
    const int32_t m = at.m0 + first_row<Config>(consumer_);
    if (m >= params_.gemm.m) return;
#pragma unroll
    for (int panel = 0; panel < Config::kConsumerPanels; ++panel) {
      const int32_t n = at.n0 + first_column<Config>(consumer_) + panel * Config::kRowElems;
      if (n >= params_.gemm.n) break;
      ptx::cp_async_bulk_tensor_store(&map, ptx::cvta_to_shared(smem_outputs_.panel[panel]), n,
                                      at.t, m);
    }
    ptx::cp_async_bulk_commit_group();
  }

  const ForwardParams& params_;
  Outputs<typename Config::Tile>& smem_outputs_;
  float (&smem_bias_)[Config::kConsumerColumns];
  int consumer_;
  OwnOutputs outputs_;
};

}  // namespace per_step_dense::sm90
