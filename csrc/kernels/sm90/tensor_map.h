// Tensor maps, encoded by the driver, which is reached without a link to libcuda.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "kernels/sm90/boxes.h"

namespace per_step_dense::sm90 {

// Whether the driver of this machine encodes tensor maps at all.
bool can_encode_tensor_maps();

// What the driver refuses is returned as the runtime's error of the same number. Maps are
// remembered by thread: a map depends on nothing but what is given here, so that it is never out of
// date.
cudaError_t encode_tensor_map(const BoxedTensor& tensor, CUtensorMap& map);

}  // namespace per_step_dense::sm90
