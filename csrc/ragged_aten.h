// The ops of ragged batches in ATen's batched products, not differentiable, and without arithmetic
// on padding: for every device and dtype for which there is no kernel of this package.
#pragma once

#include "ragged_functions.h"

namespace per_step_dense::aten {

ForwardOfRows ragged_forward;
BackwardOfRows ragged_backward;

}  // namespace per_step_dense::aten
