// The role that fetches operands: one thread, which is always as far ahead as the ring allows.
#pragma once

#include "kernels/sm90/pipeline.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class Producer {
  using Storage = SharedStorage<typename Config::Tile>;
  using Stage = sm90::Stage<typename Config::Tile>;

 public:
  __device__ __forceinline__ Producer(const ForwardParams& params, Storage& smem)
      : params_(params),
        smem_(smem),
        keep_(ptx::createpolicy_evict_normal()),
        weight_policy_(params.reads_weight_once ? ptx::createpolicy_evict_first() : keep_) {
    ptx::prefetch_tensormap(&params.x);
    ptx::prefetch_tensormap(&params.weight);
  }

  __device__ __forceinline__ void run() {
    RingPosition<Config> ring;
    for (TileWalk<Config> walk(params_.order); walk.has_tile(); walk.advance()) {
      const TilePlace at = walk.place();
      for (int32_t k_block = 0; k_block < at.k_blocks; ++k_block, ring.advance()) {
        wait(smem_.empty[ring.stage], ring.parity ^ 1);  // in the first round all are empty
        fetch(at, at.first_k + k_block * Config::kBlockK, smem_.stage[ring.stage],
              ptx::cvta_to_shared(&smem_.full[ring.stage]));
      }
    }
  }

 private:
  // Panels of the weight that lie wholly beyond its columns are left out.
  __device__ __forceinline__ void fetch(const TilePlace& at, int32_t k, Stage& stage,
                                        uint32_t full) const {
    const int32_t columns = int32_t(params_.gemm.n) - at.n0;
    const int32_t panels =
        min(Config::kPanels, (columns + Config::kRowElems - 1) / Config::kRowElems);
    ptx::mbarrier_arrive_expect_tx(full, sizeof stage.a + panels * sizeof stage.b[0]);
    ptx::cp_async_bulk_tensor_load(ptx::cvta_to_shared(stage.a), &params_.x, full, k,
                                   params_.x_has_steps ? at.t : 0, at.m0, keep_);
#pragma unroll
    for (int panel = 0; panel < Config::kPanels; ++panel) {
      if (panel < panels) fetch_weight(at, k, stage, full, panel);
    }
  }

  // The blocks of a cluster take turns, each fetching for all.
  __device__ __forceinline__ void fetch_weight(const TilePlace& at, int32_t k, Stage& stage,
                                               uint32_t full, int panel) const {
    const uint32_t smem = ptx::cvta_to_shared(stage.b[panel]);
    const int32_t n = at.n0 + panel * Config::kRowElems, t = params_.weight_has_steps ? at.t : 0;
    if constexpr (Config::kCluster == 1) {
      ptx::cp_async_bulk_tensor_load(smem, &params_.weight, full, n, k, t, weight_policy_);
    } else if (panel % Config::kCluster == int(ptx::cluster_ctarank())) {
      constexpr uint16_t kAll = (1 << Config::kCluster) - 1;
      ptx::cp_async_bulk_tensor_load_multicast(smem, &params_.weight, full, n, k, t, kAll,
                                               weight_policy_);
    }
  }

  const ForwardParams& params_;
  Storage& smem_;
  uint64_t keep_, weight_policy_;
};

}  // namespace per_step_dense::sm90
