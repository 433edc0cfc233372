// The tiles that a block computes, one after another: alike for all of its roles.
#pragma once

#include "kernels/ptx_sm90.cuh"
#include "kernels/sm90/params.h"
#include "kernels/sm90/products.h"
#include "kernels/sm90/tiles.h"

namespace per_step_dense::sm90 {

// A tile of outputs and the terms that it adds up.
struct TilePlace {
  int32_t t, m0, n0;
  int32_t split;
  int32_t first_k, k_blocks;
  int32_t rows_end;  // where the step's rows end, along m or along k; known where rows differ
};

// An item of a product: of its step, which of the tiles of all splits.
struct ItemOfStep {
  uint32_t t, index;
};

__device__ __forceinline__ uint32_t items_a_step(const TileOrder& order) {
  return order.rows_of_tiles * order.tiles_n * order.splits;
}

__device__ __forceinline__ ItemOfStep item_of_step(const TileOrder& order, uint32_t item) {
  const uint32_t steps = order.steps;
  if (order.steps_inside) return {item % steps, item / steps};
  const uint32_t items = items_a_step(order);
  return {item / items, item % items};
}

// The tile of this block of the cluster, in a step of so many rows of tiles.
template <class Config>
__device__ __forceinline__ TilePlace place_of(const TileOrder& order, const ItemOfStep& item,
                                              uint32_t tiles_m) {
  const uint32_t tiles_n = order.tiles_n;
  const uint32_t split = item.index / (tiles_m * tiles_n), tile = item.index % (tiles_m * tiles_n);
  const uint32_t first_n = tile / (tiles_m * order.band) * order.band;
  const uint32_t band = min(uint32_t(order.band), tiles_n - first_n);
  const uint32_t tile_of_band = tile - first_n * tiles_m;
  const uint32_t rank = Config::kCluster > 1 ? ptx::cluster_ctarank() : 0;
  TilePlace at;
  at.t = item.t;
  at.m0 = (tile_of_band / band * Config::kCluster + rank) * Config::kBlockM;
  at.n0 = (first_n + tile_of_band % band) * Config::kBlockN;
  at.split = split;
  const int32_t first_k_block = split * order.k_blocks_a_split;
  at.first_k = first_k_block * Config::kBlockK;
  at.k_blocks = min(order.k_blocks_a_split, order.k_blocks - first_k_block);
  return at;
}

template <class Config>
__device__ __forceinline__ TilePlace place_of(const TileOrder& order, const ItemOfStep& item) {
  return place_of<Config>(order, item, order.rows_of_tiles);
}

// What a kernel's list of items has: one product, or both of a backward. Calls visit(product, its
// params, place).
__device__ __forceinline__ int32_t items_of(const ProductParams& product) {
  return product.order.items;
}
__device__ __forceinline__ int32_t items_of(const BackwardParams& list) {
  return list.grad_input.order.items + list.grad_weight.order.items;
}

template <class Config, class Visit>
__device__ __forceinline__ void visit_item(const ProductParams& forward, uint32_t item,
                                           Visit&& visit) {
  visit(Forward{}, forward, place_of<Config>(forward.order, item_of_step(forward.order, item)));
}

template <class Config, class Visit>
__device__ __forceinline__ void visit_item(const GradInputParams& product, uint32_t item,
                                           Visit&& visit) {
  visit(GradInput{}, product, place_of<Config>(product.order, item_of_step(product.order, item)));
}

template <class Config, class Visit>
__device__ __forceinline__ void visit_item(const BackwardParams& list, uint32_t item,
                                           Visit&& visit) {
  const TileOrder &input = list.grad_input.order, &weight = list.grad_weight.order;
  const auto in_turn = [&](const TileOrder& first, const TileOrder& second, bool& is_first) {
    is_first = item < uint32_t(first.items);
    return is_first ? item_of_step(first, item) : item_of_step(second, item - first.items);
  };
  ItemOfStep at;
  bool is_grad_weight;
  if (list.order == ListOrder::kByStep) {
    const uint32_t of_weight = items_a_step(weight), items = of_weight + items_a_step(input);
    at = {item / items, item % items};
    is_grad_weight = at.index < of_weight;
    if (!is_grad_weight) at.index -= of_weight;
  } else if (list.order == ListOrder::kGradWeightFirst) {
    at = in_turn(weight, input, is_grad_weight);
  } else {
    bool is_grad_input;
    at = in_turn(input, weight, is_grad_input);
    is_grad_weight = !is_grad_input;
  }
  if (is_grad_weight) {
    visit(GradWeight{}, list.grad_weight, place_of<Config>(weight, at));
  } else {
    visit(GradInput{}, list.grad_input, place_of<Config>(input, at));
  }
}

// A kernel's list where all steps have all rows.
template <class Config, class Params>
class ItemList {
 public:
  __device__ __forceinline__ ItemList(const Params& params, SharedStorage<typename Config::Tile>&)
      : params_(params) {}

  __device__ __forceinline__ const Params& params() const { return params_; }
  __device__ __forceinline__ int32_t items() const { return items_of(params_); }

  template <class Visit>
  __device__ __forceinline__ void visit(uint32_t item, Visit&& visit) const {
    visit_item<Config>(params_, item, visit);
  }

 private:
  const Params& params_;
};

// Every so many items as there are clusters.
template <class Config>
class TileWalk {
 public:
  __device__ __forceinline__ explicit TileWalk(int32_t items)
      : items_(items), item_(blockIdx.x / Config::kCluster) {}

  __device__ __forceinline__ int32_t item() const { return item_; }
  __device__ __forceinline__ bool has_item() const { return item_ < items_; }
  __device__ __forceinline__ bool has_next() const { return next() < items_; }
  __device__ __forceinline__ void advance() { item_ = next(); }

 private:
  __device__ __forceinline__ int32_t next() const {
    return item_ + int32_t(gridDim.x) / Config::kCluster;
  }

  int32_t items_, item_;
};

}  // namespace per_step_dense::sm90
