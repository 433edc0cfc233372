// The role that fetches operands: one thread, which is always as far ahead as the ring allows.
#pragma once

#include "kernels/sm90/box_place.cuh"
#include "kernels/sm90/pipeline.cuh"
#include "kernels/sm90/tile_walk.cuh"

namespace per_step_dense::sm90 {

// Of those that are encoded: a product that is not wanted has none, and one without rows no `a`.
__device__ __forceinline__ void prefetch_tensormaps(const ProductParams& product) {
  if (product.order.items == 0) return;
  if (product.gemm.m > 0) ptx::prefetch_tensormap(&product.a);
  ptx::prefetch_tensormap(&product.b);
}
__device__ __forceinline__ void prefetch_tensormaps(const BackwardParams& list) {
  prefetch_tensormaps(list.grad_input);
  prefetch_tensormaps(list.grad_weight);
}

template <class Config, class List>
class Producer {
  using Storage = SharedStorage<typename Config::Tile>;
  using Stage = sm90::Stage<typename Config::Tile>;

 public:
  // Where the list is walked by a whole warp, one of its threads fetches.
  __device__ __forceinline__ Producer(const List& list, Storage& smem, bool fetches)
      : list_(list),
        smem_(smem),
        fetches_(fetches),
        keep_(ptx::createpolicy_evict_normal()),
        read_once_(ptx::createpolicy_evict_first()) {
    if (fetches) prefetch_tensormaps(list.params());
  }

  __device__ __forceinline__ void run() {
    RingPosition<Config> ring;
    for (TileWalk<Config, List> walk(list_); walk.has_item(); walk.advance()) {
      list_.visit(walk.item(), [&](auto product, const ProductParams& params, const TilePlace& at) {
        if (!fetches_) return;
        for (int32_t k_block = 0; k_block < at.k_blocks; ++k_block, ring.advance()) {
          wait(smem_.empty[ring.stage], ring.parity ^ 1);  // in the first round all are empty
          fetch<decltype(product)>(params, at, at.first_k + k_block * Config::kBlockK,
                                   smem_.stage[ring.stage],
                                   ptx::cvta_to_shared(&smem_.full[ring.stage]));
        }
      });
    }
  }

 private:
  // Panels, of `a` along its rows and of b along its columns, that lie wholly beyond them are left
  // out.
  template <class Product>
  __device__ __forceinline__ void fetch(const ProductParams& params, const TilePlace& at, int32_t k,
                                        Stage& stage, uint32_t full) const {
    constexpr bool kHasPanelsOfA = Product::kMajorA == Major::kRow;
    const int32_t panels_a = panels_there<Config::kBlockM>(params.gemm.m, at.m0);
    const int32_t panels_b = panels_there<Config::kBlockN>(params.gemm.n, at.n0);
    const uint32_t bytes_a =
        kHasPanelsOfA ? panels_a * sizeof stage.b[0] : params.rows_of_a * kRowBytes;
    ptx::mbarrier_arrive_expect_tx(full, bytes_a + panels_b * sizeof stage.b[0]);
    const int32_t t = params.a_has_steps ? at.t : 0;
    if constexpr (kHasPanelsOfA) {
#pragma unroll
      for (int panel = 0; panel < Config::kPanelsOfA; ++panel) {
        const int32_t m = panel * Config::kRowElems;
        if (panel < panels_a)
          load(stage.a[m], params.a, full, box_at<Product::kTensorA>(t, k, at.m0 + m), keep_);
      }
    } else {
      load(stage.a[0], params.a, full, box_at<Product::kTensorA>(t, at.m0, k), keep_);
    }
#pragma unroll
    for (int panel = 0; panel < Config::kPanels; ++panel) {
      if (panel < panels_b) fetch_b<Product>(params, at, k, stage, full, panel);
    }
  }

  // The blocks of a cluster take turns, each fetching for all.
  template <class Product>
  __device__ __forceinline__ void fetch_b(const ProductParams& params, const TilePlace& at,
                                          int32_t k, Stage& stage, uint32_t full, int panel) const {
    const uint64_t policy = params.reads_b_once ? read_once_ : keep_;
    const int32_t n = at.n0 + panel * Config::kRowElems, t = params.b_has_steps ? at.t : 0;
    const BoxPlace box = Product::kMajorB == Major::kRow ? box_at<Product::kTensorB>(t, k, n)
                                                         : box_at<Product::kTensorB>(t, n, k);
    if constexpr (Config::kCluster == 1) {
      load(stage.b[panel][0], params.b, full, box, policy);
    } else if (panel % Config::kCluster == int(ptx::cluster_ctarank())) {
      constexpr uint16_t kAll = (1 << Config::kCluster) - 1;
      ptx::cp_async_bulk_tensor_load_multicast(ptx::cvta_to_shared(stage.b[panel]), &params.b, full,
                                               box.c0, box.c1, box.c2, kAll, policy);
    }
  }

  template <int kBlock>
  static __device__ __forceinline__ int32_t panels_there(int64_t extent, int32_t first) {
    constexpr int kPanels = kBlock / Config::kRowElems;
    const int32_t there = (int32_t(extent) - first + Config::kRowElems - 1) / Config::kRowElems;
    return max(min(kPanels, there), 0);
  }

  static __device__ __forceinline__ void load(unsigned char (&smem)[kRowBytes],
                                              const CUtensorMap& map, uint32_t full,
                                              const BoxPlace& box, uint64_t policy) {
    ptx::cp_async_bulk_tensor_load(ptx::cvta_to_shared(smem), &map, full, box.c0, box.c1, box.c2,
                                   policy);
  }

  const List& list_;
  Storage& smem_;
  bool fetches_;
  uint64_t keep_, read_once_;
};

}  // namespace per_step_dense::sm90
