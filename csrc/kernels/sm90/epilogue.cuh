// What becomes of a consumer's finished sums: bias, activation, and out through shared memory by
// TMA, which reads the outputs while the consumer is at its next tile.
#pragma once

#include <type_traits>

#include "kernels/activation.cuh"
#include "kernels/sm90/bias.cuh"
#include "kernels/sm90/box_place.cuh"
#include "kernels/sm90/column_sums.cuh"
#include "kernels/sm90/outputs_rows.cuh"
#include "kernels/sm90/outputs_swapped.cuh"
#include "kernels/sm90/row_stores.cuh"
#include "kernels/sm90/turns.cuh"

namespace per_step_dense::sm90 {

template <class Config>
class Epilogue {
  using Storage = SharedStorage<typename Config::Tile>;
  using OwnOutputs =
      std::conditional_t<Config::kSwapsOperands, OutputsOfSwapped<Config>, OutputsOfRows<Config>>;

 public:
  __device__ __forceinline__ Epilogue(Storage& smem, int consumer)
      : smem_outputs_(smem.outputs[consumer]),
        smem_bias_(smem.bias[consumer]),
        consumer_(consumer),
        outputs_(smem, consumer) {}

  template <class Product>
  __device__ __forceinline__ void store(Product, const ProductParams& params, const TilePlace& at,
                                        Accumulators<Config>& accum) const {
    if (params.is_split) {
      for_each_panel<Config, kUnrolls>(accum, [&](int block, int panel, const PanelSums& sums) {
        outputs_.store_parts(params, at, block, panel, sums);
      });
      return;
    }
    if constexpr (Product::kSumsRows) {
      if (params.gemm.accumulation != Accumulation::kOverwrite) return add(params, at, accum);
    }
    if constexpr (Product::kActivates) {
      if (params.gemm.z.data)
        store_outputs<Product>(params, params.z, Activation::kNone, params.gemm.z, at, accum);
    }
    store_outputs<Product>(params, params.c, params.gemm.activation, params.gemm.c, at, accum);
  }

  __device__ __forceinline__ void take(const TileBias<Config>& bias) const {
    bias.write(smem_bias_);
  }

  // By way of the room for outputs.
  __device__ __forceinline__ void store(const ProductParams& params, const TilePlace& at,
                                        const ColumnSums<Config>& columns) const {
    static_assert(sizeof smem_outputs_ >= kWarpgroupThreads * 2 * kVectorBytes,
                  "or sums of shares do not fit");
    wait_for_room();
    columns.store(params, at, reinterpret_cast<float*>(&smem_outputs_), [&] { sync(); });
  }

  // Before the block's shared memory is gone.
  __device__ __forceinline__ void finish() const {
    if (is_leader()) ptx::cp_async_bulk_wait_group_read<0>();
  }

 private:
  static constexpr bool kUnrolls = false;  // over panels, whose code is long

  // Whether the outputs of all steps are rows of one matrix.
  template <class Product>
  static constexpr bool kSharesRows = Config::kHasRanges && Product::kTensorC == TensorKind::kRows;

  __device__ __forceinline__ void add(const ProductParams& params, const TilePlace& at,
                                      Accumulators<Config>& accum) const {
    for_each_panel<Config, kUnrolls>(accum, [&](int block, int panel, const PanelSums& sums) {
      if (params.gemm.accumulation == Accumulation::kAddFloat32) {
        outputs_.template add<float>(params, at, block, panel, sums);
      } else {
        outputs_.template add<typename Config::Scalar>(params, at, block, panel, sums);
      }
    });
  }

  static __device__ __forceinline__ bool is_leader() {
    return threadIdx.x % kWarpgroupThreads == 0;
  }
  __device__ __forceinline__ void sync() const {
    ptx::bar_sync(barrier_of_consumer(consumer_), kWarpgroupThreads);
  }

  // Until what was put there before is read, by TMA and by all threads.
  __device__ __forceinline__ void wait_for_room() const {
    finish();
    sync();
  }

  template <class Product>
  __device__ __forceinline__ void store_outputs(const ProductParams& params, const CUtensorMap& map,
                                                Activation activation, const Matrix& matrix,
                                                const TilePlace& at,
                                                Accumulators<Config>& accum) const {
    wait_for_room();
    for_each_panel<Config, !Product::kActivates>(accum, [&](int block, int panel, PanelSums& sums) {
      if (!outputs_.is_any_there(params, at, panel)) return;
      if constexpr (Product::kActivates) {
        outputs_.add_bias(panel, sums);
        activate_all<typename Config::Scalar>(activation, sums);
      }
      outputs_.write(block, panel, sums);
    });
    ptx::fence_proxy_async();
    sync();
    if (is_leader()) store_panels<Product>(params, map, at);
    if (ends_inside<Product>(params, at)) {
      const int32_t n = at.n0 + first_column<Config>(consumer_);
      store_rows<Config>(smem_outputs_, matrix, at, n, params.gemm.n);
    }
  }

  // Whether rows follow that are not the step's; none are there behind the last one.
  template <class Product>
  static __device__ __forceinline__ bool ends_inside(const ProductParams& params,
                                                     const TilePlace& at) {
    if constexpr (kSharesRows<Product>) {
      static_assert(Config::kConsumerRows == Config::kBlockM, "or rows begin elsewhere");
      return at.rows_end < min(at.m0 + Config::kBlockM, int32_t(params.gemm.m));
    } else {
      return false;
    }
  }

  // What lies wholly outside stays here, and tiles whose rows threads store.
  template <class Product>
  __device__ __forceinline__ void store_panels(const ProductParams& params, const CUtensorMap& map,
                                               const TilePlace& at) const {
    const int32_t m = at.m0 + first_row<Config>(consumer_);
    if (m >= params.gemm.m || ends_inside<Product>(params, at)) return;
#pragma unroll
    for (int panel = 0; panel < Config::kConsumerPanels; ++panel) {
      const int32_t n = at.n0 + first_column<Config>(consumer_) + panel * Config::kRowElems;
      if (n >= params.gemm.n) break;
      const int32_t t = kSharesRows<Product> ? 0 : at.t;
      const BoxPlace box = box_at<Product::kTensorC>(t, m, n);
      ptx::cp_async_bulk_tensor_store(&map, ptx::cvta_to_shared(smem_outputs_.panel[panel]), box.c0,
                                      box.c1, box.c2);
    }
    ptx::cp_async_bulk_commit_group();
  }

  Outputs<typename Config::Tile>& smem_outputs_;
  float (&smem_bias_)[Config::kConsumerColumns];
  int consumer_;
  OwnOutputs outputs_;
};

}  // namespace per_step_dense::sm90
