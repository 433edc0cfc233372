// Batched products by Hopper's tensor cores: the forward's, or both of a backward in one launch.
//
// Blocks, or clusters of two, are as many as the GPU has room for, and walk over a list of the
// tiles of all steps. A block's first warpgroup fetches, the others multiply and store:
//
//   producer   wait empty[s] | TMA: A, B -> stage s, full[s] | next s, whatever the tile
//   consumer   wait full[s]  | wgmma: stage s -> registers | stage before s is empty | ...
//                ... | bias, activation -> outputs in shared memory | TMA: outputs -> C | next tile
//
// so that fetching runs ahead into the next tile, and storing lags behind into it. Stages are alike
// for all products; what differs is how operands lie in them, which wgmma is told:
//
//   forward      y[t]  = activation(x[t] weight[t] + bias[t])   A along k,        B along its rows
//   grad-input   dx[t] = dz[t] weight[t]^T                      A along k,        B along k
//   grad-weight  dw[t] = x[t]^T dz[t], db[t] = sums of dz[t]    A along its rows, B along its rows
//
// Preconditions: tensors as boxes.h describes them; outputs overlap neither each other nor an
// input.
#pragma once

#include "kernels/sm90/consumer.cuh"
#include "kernels/sm90/producer.cuh"
#include "kernels/sm90/ranged_list.cuh"

namespace per_step_dense::sm90 {

template <class Config, class Params>
using ListOf =
    std::conditional_t<Config::kHasRanges, RangedList<Config, Params>, ItemList<Config, Params>>;

template <class Config, class List>
__device__ __forceinline__ void run_producer(const List& list,
                                             SharedStorage<typename Config::Tile>& smem) {
  if constexpr (Config::kSharesRegisters) ptx::setmaxnreg_dec<Config::kProducerRegisters>();
  const int warp = __shfl_sync(0xffffffff, int(threadIdx.x) / 32, 0);  // known to be uniform
  if (warp == 0) {
    const bool fetches = ptx::elect_sync();
    // A whole warp looks for an item among ranges.
    if (Config::kHasRanges || fetches) Producer<Config, List>(list, smem, fetches).run();
  }
  __syncwarp();
}

template <class Config, class List>
__device__ __forceinline__ void run_consumer(const List& list,
                                             SharedStorage<typename Config::Tile>& smem,
                                             int consumer) {
  if constexpr (Config::kSharesRegisters) ptx::setmaxnreg_inc<Config::kConsumerRegisters>();
  Consumer<Config, List>(list, smem, consumer).run();
}

template <class Config, class Params>
__device__ __forceinline__ void run_roles(const Params& params) {
  auto& smem = shared_storage<SharedStorage<typename Config::Tile>>();
  if (threadIdx.x == 0) init_barriers<Config>(smem);
  sync_cluster<Config>();
  const ListOf<Config, Params> list(params, smem);
  const int warpgroup = __shfl_sync(0xffffffff, int(threadIdx.x) / kWarpgroupThreads, 0);
  if (warpgroup == 0) {
    run_producer<Config>(list, smem);
  } else {
    run_consumer<Config>(list, smem, warpgroup - 1);
  }
  // Neighbours send bytes and arrivals here, until they have what they wait for.
  if constexpr (Config::kCluster > 1) sync_cluster<Config>();
}

// Of ProductParams a forward, of GradInputParams or BackwardParams a backward; of steps whose rows
// differ where they are Ranged.
template <class Scalar, class Tile, class Params>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    gemm_kernel(const __grid_constant__ Params params) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  run_roles<Config<Scalar, Tile, kIsRanged<Params>>>(params);
#else
  __trap();  // the instructions are those of sm_90a alone
#endif
}

}  // namespace per_step_dense::sm90
