// Batched products without tiles in shared memory, for small matrices and thin ones.
//
//              columns of all steps, flattened (t, n)
//            +-----+-----+-----+-----+-----+-----+---
//   4 rows   | thr | thr | thr |     |     |     |        a thread: 4 rows x 1 column,
//            |  0  |  1  |  2  | ... |     |     |        or x 4 (float64: 2)
//            +-----+-----+-----+-----+-----+-----+---
//   4 rows   |     |     |     |
//
// Neighbouring threads read neighbouring columns of b, and most read the same rows of a, which the
// hardware broadcasts. Sums that are long while outputs are few are shared by slices: threads of a
// block; and by splits: blocks.
#pragma once

#include "kernels/tiny/epilogue.cuh"
#include "kernels/tiny/join_slices.cuh"
#include "kernels/tiny/mainloop.cuh"

namespace per_step_dense::tiny {

template <class Config>
__device__ __forceinline__ void compute_units(const Item& item, uint32_t block) {
  const Place place = place_of_thread<Config>(item, block);
  if (!Config::kSliced && !place.is_inside) return;

  const Bias<Config> bias(item, place);
  Sums<Config> sums;
  accumulate(item, place, sums);
  Totals<Config> totals = sums.totals();
  if constexpr (Config::kSliced) {
    const int slices = 1 << item.log2_slices;
    if (item.slices_are_lanes) {
      join_lanes(slices, totals);
    } else if (slices > 1) {
      join_warps(item.log2_slices, place.slice, shared_storage<SharedStorage<Config>>(), totals);
    }
    if (place.is_inside) store(item, place, slices, bias, totals);
  } else {
    store(item, place, /*slices=*/1, bias, totals);
  }
}

template <class Config>
__global__ void __launch_bounds__(Config::kThreads, Config::kBlocksPerSm)
    units_kernel(const __grid_constant__ ItemList list) {
  uint32_t block = blockIdx.x;
  int item = 0;
  while (block >= list.item[item].blocks) block -= static_cast<uint32_t>(list.item[item++].blocks);
  compute_units<Config>(list.item[item], block);
}

}  // namespace per_step_dense::tiny
