// Sums over k that several blocks share: each leaves its part in a workspace, and one more launch
// adds the parts up in their order, so that the result does not depend on timing.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/split_workspace.h"

namespace per_step_dense {

// Adds bias, applies the activation and writes what each product wants. One launch; none where no
// product was split.
cudaError_t add_up_splits(DType dtype, const SplitSumList& list, cudaStream_t stream);

}  // namespace per_step_dense
