// The ops where no result may depend on how many samples there are: every output is one sum, added
// up in an order that follows from its terms alone. ATen's products promise none.
//
// float32 is computed by this package's kernels, which keep such an order (product.h), whatever
// vectors torch has; 16 bits through float32. float64, and CPUs that there are no kernels for, by a
// loop in float64. The gradients of weight and bias are sums over the samples: where that loop
// serves, they are ATen's.
#pragma once

#include "ops.h"
#include "ragged_functions.h"

namespace per_step_dense::cpu::batch_invariant {

ForwardFunction forward;
ForwardWithPreactivationFunction forward_with_preactivation;
BackwardFunction backward;
BackwardAccumulateFunction backward_accumulate;
ActivationBackwardFunction activation_backward;

ForwardOfRows ragged_forward;
BackwardOfRows ragged_backward;

}  // namespace per_step_dense::cpu::batch_invariant
