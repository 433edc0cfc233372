#include <algorithm>

#include "kernels/launch.cuh"
#include "kernels/split_sum.cuh"
#include "kernels/split_sum.h"

namespace per_step_dense {

cudaError_t add_up_splits(DType dtype, const SplitSumList& list, cudaStream_t stream) {
  SplitSumWork work{list, {}, {}};
  int64_t elements = 0;
  for (int product = 0; product < kMaxProducts; ++product) {
    const SplitSum& sum = list.sum[product];
    if (sum.splits == 0) continue;
    work.outputs[product] = part_elems(sum.gemm);
    work.column_sums[product] = column_sum_part_elems(sum.gemm);
    elements += work.outputs[product] + work.column_sums[product];
  }
  if (elements == 0) return cudaSuccess;
  const int64_t blocks = std::min(ceil_div(elements, kSplitSumThreads), kMaxBlocks);
  const LaunchShape shape{static_cast<unsigned>(blocks), kSplitSumThreads, 0};
  return visit_scalar(dtype, [&](auto tag) {
    return launch(add_up_splits_kernel<typename decltype(tag)::type>, shape, work, stream);
  });
}

}  // namespace per_step_dense
