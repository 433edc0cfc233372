// The list of items where rows differ from step to step, which the host does not know: no tile is
// spent on rows that a step does not have.
#pragma once

#include "kernels/row_range.cuh"
#include "kernels/sm90/tile_walk.cuh"
#include "kernels/warp_scan.cuh"

namespace per_step_dense::sm90 {

struct RowsOfStep {
  int32_t begin, end;

  __device__ __forceinline__ uint32_t blocks_of(int32_t rows) const {
    return (end - begin + rows - 1) / rows;
  }
};

struct ItemInRange {
  ItemOfStep item;
  RowsOfStep rows;
};

// A tile of the step's rows.
template <class Config>
__device__ __forceinline__ TilePlace place_in_rows(const TileOrder& order, const ItemInRange& at) {
  TilePlace place = place_of<Config>(order, at.item, at.rows.blocks_of(Config::kBlockM));
  place.m0 += at.rows.begin;
  place.rows_end = at.rows.end;
  return place;
}

// A tile that adds them up. Where there are none, a stage of others becomes one of zeros.
template <class Config>
__device__ __forceinline__ TilePlace place_of_sums(const TileOrder& order, const ItemInRange& at) {
  TilePlace place = place_of<Config>(order, at.item);
  place.first_k = at.rows.begin;
  place.k_blocks = max(at.rows.blocks_of(Config::kBlockK), 1u);
  place.rows_end = at.rows.end;
  return place;
}

// A step's items: its weight gradient's, then those of its rows.
__device__ __forceinline__ uint32_t items_of_sums(const ProductParams&) { return 0; }
__device__ __forceinline__ uint32_t items_of_sums(const BackwardParams& list) {
  return items_a_step(list.grad_weight.order);
}
__device__ __forceinline__ uint32_t items_a_tile_of_rows(const ProductParams& forward) {
  return forward.order.tiles_n;
}
__device__ __forceinline__ uint32_t items_a_tile_of_rows(const BackwardParams& list) {
  return list.grad_input.order.tiles_n;
}

template <class Config, class Visit>
__device__ __forceinline__ void visit_item(const ProductParams& forward, const ItemInRange& at,
                                           Visit&& visit) {
  visit(Forward{}, forward, place_in_rows<Config>(forward.order, at));
}

template <class Config, class Visit>
__device__ __forceinline__ void visit_item(const BackwardParams& list, ItemInRange at,
                                           Visit&& visit) {
  const uint32_t sums = items_of_sums(list);
  if (at.item.index < sums) {
    visit(GradWeight{}, list.grad_weight, place_of_sums<Config>(list.grad_weight.order, at));
  } else {
    at.item.index -= sums;
    visit(GradInput{}, list.grad_input, place_in_rows<Config>(list.grad_input.order, at));
  }
}

// Every lane remembers how many items come before its share of the steps. All lanes of a warp look
// for an item together: whose share has it, then which of its steps.
template <class Config, class Params>
class RangedList {
  using Storage = SharedStorage<typename Config::Tile>;

 public:
  // By all threads of the block, each of which counts the items of some steps. They use the room
  // for outputs, which has to be free, and is again.
  __device__ __forceinline__ RangedList(const Params& params, Storage& smem) : params_(params) {
    static_assert(sizeof smem.outputs >= kThreads * sizeof(int32_t), "or counts do not fit");
    auto* const counts = reinterpret_cast<int32_t*>(&smem.outputs);
    const int32_t steps_a_thread = (params.steps + kThreads - 1) / kThreads;
    const int32_t first = int32_t(threadIdx.x) * steps_a_thread;
    int32_t own = 0;
    for (int32_t t = first; t < min(first + steps_a_thread, params.steps); ++t) {
      own += items_of(rows_of(t));
    }
    counts[threadIdx.x] = own;
    __syncthreads();
    own = 0;
    for (int i = 0; i < kThreadsALane; ++i) own += counts[lane() * kThreadsALane + i];
    const int32_t up_to_own = sum_up_to_lane(own);
    steps_a_lane_ = steps_a_thread * kThreadsALane;
    before_ = up_to_own - own;
    items_ = __shfl_sync(kAllLanes, up_to_own, 31);
    __syncthreads();
  }

  __device__ __forceinline__ const Params& params() const { return params_; }
  __device__ __forceinline__ int32_t items() const { return items_; }
  __device__ __forceinline__ int32_t next(int32_t item, int32_t clusters) const {
    return item + clusters;
  }

  // By all lanes of a warp.
  template <class Visit>
  __device__ __forceinline__ void visit(int32_t item, Visit&& visit) const {
    visit_item<Config>(params_, find(item), visit);
  }

 private:
  static constexpr int kThreads = Config::kThreads, kThreadsALane = kThreads / 32;
  static constexpr uint32_t kAllLanes = 0xffffffff;

  static __device__ __forceinline__ int32_t lane() { return threadIdx.x % 32; }

  __device__ __forceinline__ RowsOfStep rows_of(int32_t t) const {
    const RowRange range = range_of(params_.ranges, t, params_.rows);
    return {int32_t(range.begin), int32_t(range.end)};
  }

  __device__ __forceinline__ int32_t items_of(const RowsOfStep& rows) const {
    return items_of_sums(params_) + rows.blocks_of(Config::kBlockM) * items_a_tile_of_rows(params_);
  }

  __device__ __forceinline__ ItemInRange find(int32_t item) const {
    const int share = __popc(__ballot_sync(kAllLanes, before_ <= item)) - 1;
    int32_t before = __shfl_sync(kAllLanes, before_, share);
    for (int32_t first = share * steps_a_lane_;; first += 32) {
      const int32_t t = first + lane();
      const bool is_step = t < params_.steps;
      const RowsOfStep rows = is_step ? rows_of(t) : RowsOfStep{};
      const int32_t own = is_step ? items_of(rows) : 0;
      const int32_t up_to_own = before + sum_up_to_lane(own);
      const int found = __popc(__ballot_sync(kAllLanes, up_to_own <= item));
      if (found < 32) {
        const int32_t before_found = __shfl_sync(kAllLanes, up_to_own - own, found);
        return {
            {uint32_t(first + found), uint32_t(item - before_found)},
            {__shfl_sync(kAllLanes, rows.begin, found), __shfl_sync(kAllLanes, rows.end, found)}};
      }
      before = __shfl_sync(kAllLanes, up_to_own, 31);
    }
  }

  const Params& params_;
  int32_t steps_a_lane_, before_, items_;
};

}  // namespace per_step_dense::sm90
