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

// What a kernel's list of items has: one product, or both of a backward.
__device__ __forceinline__ int32_t items_of(const ProductParams& product) {
  return product.order.items;
}
__device__ __forceinline__ int32_t items_of(const BackwardParams& list) {
  return list.order.numbers;
}

// The item of a cluster that follows its item, of so many clusters.
__device__ __forceinline__ int32_t next_item(const ProductParams&, int32_t item, int32_t clusters) {
  return item + clusters;
}
__device__ __forceinline__ int32_t next_item(const BackwardParams& list, int32_t item,
                                             int32_t clusters) {
  const ListOrder& order = list.order;
  const bool is_last_long =
      item < order.long_items && item >= order.long_items - order.clusters_with_last;
  return item + (is_last_long ? order.rounds_apart : 1) * clusters;
}

// The number among the short items of what is no long one.
__device__ __forceinline__ uint32_t short_item(const ListOrder& order, uint32_t item) {
  const uint32_t clusters = order.clusters, last = order.clusters_with_last;
  const uint32_t since = item - (order.long_items - last);  // the round in which they end began
  const uint32_t round = since / clusters, apart = order.rounds_apart;
  const uint32_t passed = round < apart ? (round + 1) * last : apart * last;
  return since - passed;
}

// Calls visit(product, its params, place).

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
  const bool is_long = item < uint32_t(list.order.long_items);
  const bool is_grad_weight = is_long == list.order.is_grad_weight_first;
  const uint32_t of_product = is_long ? item : short_item(list.order, item);
  const ItemOfStep at = item_of_step(is_grad_weight ? weight : input, of_product);
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
  __device__ __forceinline__ int32_t next(int32_t item, int32_t clusters) const {
    return next_item(params_, item, clusters);
  }

  template <class Visit>
  __device__ __forceinline__ void visit(uint32_t item, Visit&& visit) const {
    visit_item<Config>(params_, item, visit);
  }

 private:
  const Params& params_;
};

// A cluster's items of a list.
template <class Config, class List>
class TileWalk {
 public:
  __device__ __forceinline__ explicit TileWalk(const List& list)
      : list_(list), item_(blockIdx.x / Config::kCluster) {}

  __device__ __forceinline__ int32_t item() const { return item_; }
  __device__ __forceinline__ bool has_item() const { return item_ < list_.items(); }
  __device__ __forceinline__ bool has_next() const { return next() < list_.items(); }
  __device__ __forceinline__ void advance() { item_ = next(); }

 private:
  __device__ __forceinline__ int32_t next() const {
    return list_.next(item_, int32_t(gridDim.x) / Config::kCluster);
  }

  const List& list_;
  int32_t item_;
};

}  // namespace per_step_dense::sm90
