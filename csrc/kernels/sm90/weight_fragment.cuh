// The weight of a stage as operand A of wgmma in tfloat32, whose registers it has to come through.
#pragma once

#include "kernels/ptx_sm90.cuh"
#include "kernels/sm90/config.cuh"

namespace per_step_dense::sm90 {

inline constexpr int kTermsOfTf32Wgmma = 8;

// 64 columns of a stage by its terms: of each product four registers, which are, of the thread's
// group g of four lanes and its place c there, columns g and g + 8 of the warp's 16 of term c, then
// of term c + 4.
template <class Config>
struct WeightFragment {
  static constexpr int kProducts = Config::kBlockK / kTermsOfTf32Wgmma;

  uint32_t a[kProducts][4];
};

// Where a thread reads them. Were it term c of all lanes first, pairs of lanes would meet in a
// bank; lanes of odd c read term c + 4 first, and exchange.
template <class Config>
class WeightReader {
  static constexpr uint32_t kPanelBytes = Config::kBlockK * kRowBytes;
  static constexpr uint32_t kColumnsOfChunk = 16 / Config::kElementBytes;

 public:
  // Of columns of a tile from `column` on.
  __device__ __forceinline__ explicit WeightReader(int column) {
    const uint32_t lane = threadIdx.x % 32, c = lane % 4;
    const uint32_t n = column + threadIdx.x % kWarpgroupThreads / 32 * 16 + lane / 4;
    const uint32_t term = c % 2 ? c + 4 : c;
    const uint32_t chunk = n % Config::kRowElems / kColumnsOfChunk ^ term;
    exchanges_ = c % 2;
    offset_ = n / Config::kRowElems * kPanelBytes + term * kRowBytes + chunk * 16 +
              n % kColumnsOfChunk * Config::kElementBytes;
  }

  // Rounds to what tensor cores would else cut.
  __device__ __forceinline__ void read(uint32_t smem, WeightFragment<Config>& fragment) const {
#pragma unroll
    for (int product = 0; product < WeightFragment<Config>::kProducts; ++product) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        // Offsets are XORed as TMA swizzles: 8 columns on, and 4 terms on or back.
        const uint32_t at = offset_ ^ i * 8 / kColumnsOfChunk * 16;
        constexpr uint32_t kOtherTerm = 4 * kRowBytes | 4 * 16;
        const uint32_t stage = smem + product * kTermsOfTf32Wgmma * kRowBytes;
        const uint32_t first = ptx::cvt_rna_tf32(ptx::ld_shared(stage + at));
        const uint32_t second = ptx::cvt_rna_tf32(ptx::ld_shared(stage + (at ^ kOtherTerm)));
        fragment.a[product][i] = exchanges_ ? second : first;
        fragment.a[product][i + 2] = exchanges_ ? first : second;
      }
    }
  }

 private:
  uint32_t offset_;
  bool exchanges_;
};

}  // namespace per_step_dense::sm90
