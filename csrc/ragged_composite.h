// The ops of ragged batches in differentiable ATen operations, as composite.h has the others:
// padding is masked, and the steps of packed rows are computed one after another.
#pragma once

#include "ops.h"

namespace per_step_dense::composite {

RaggedForwardFunction ragged_forward;
RaggedForwardWithPreactivationFunction ragged_forward_with_preactivation;
RaggedBackwardFunction ragged_backward;

}  // namespace per_step_dense::composite
