// Batched products by Hopper's tensor cores: y[t] = activation(x[t] weight[t] + bias[t]).
//
// Blocks, or clusters of two, are as many as the GPU has room for, and walk over the tiles of all
// steps. A block's first warpgroup fetches, the others multiply and store:
//
//   producer   wait empty[s] | TMA: x, weight -> stage s, full[s] | next s, whatever the tile
//   consumer   wait full[s]  | wgmma: stage s -> registers | stage before s is empty | ...
//                ... | bias, activation -> outputs in shared memory | TMA: outputs -> y | next tile
//
// so that fetching runs ahead into the next tile, and storing lags behind into it.
//
// Preconditions: tensors as boxes.h describes them; outputs overlap neither each other nor an
// input.
#pragma once

#include "kernels/sm90/consumer.cuh"
#include "kernels/sm90/producer.cuh"

namespace per_step_dense::sm90 {

template <class Config>
__device__ __forceinline__ void run_producer(const ForwardParams& params,
                                             SharedStorage<typename Config::Tile>& smem) {
  if constexpr (Config::kSharesRegisters) ptx::setmaxnreg_dec<Config::kProducerRegisters>();
  const int warp = __shfl_sync(0xffffffff, int(threadIdx.x) / 32, 0);  // known to be uniform
  if (warp == 0 && ptx::elect_sync()) Producer<Config>(params, smem).run();
  __syncwarp();
}

template <class Config>
__device__ __forceinline__ void run_consumer(const ForwardParams& params,
                                             SharedStorage<typename Config::Tile>& smem,
                                             int consumer) {
  if constexpr (Config::kSharesRegisters) ptx::setmaxnreg_inc<Config::kConsumerRegisters>();
  Consumer<Config>(params, smem, consumer).run();
}

template <class Config>
__device__ __forceinline__ void run_roles(const ForwardParams& params) {
  auto& smem = shared_storage<SharedStorage<typename Config::Tile>>();
  if (threadIdx.x == 0) init_barriers<Config>(smem);
  sync_cluster<Config>();
  const int warpgroup = __shfl_sync(0xffffffff, int(threadIdx.x) / kWarpgroupThreads, 0);
  if (warpgroup == 0) {
    run_producer<Config>(params, smem);
  } else {
    run_consumer<Config>(params, smem, warpgroup - 1);
  }
  // Neighbours send bytes and arrivals here, until they have what they wait for.
  if constexpr (Config::kCluster > 1) sync_cluster<Config>();
}

template <class Scalar, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardParams params) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  run_roles<Config<Scalar, Tile>>(params);
#else
  __trap();  // the instructions are those of sm_90a alone
#endif
}

}  // namespace per_step_dense::sm90
