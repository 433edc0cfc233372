// The chooser's word, and what this machine's driver has to say of it.
#pragma once

#include "choose_kernel.h"

namespace per_step_dense {

struct DeviceChoice {
  Choice choice;
  bool is_second;  // the driver cannot describe the tensors to the first one's kernel
};

// As choose_kernel; but where nothing is asked for, what the driver refuses is not chosen. What
// its encoder makes of strides that overlap, or do not grow, has not been seen yet.
DeviceChoice choose_kernel_on_device(const ForwardProblem& problem,
                                     const Architecture& architecture,
                                     const Constraint& constraint);
DeviceChoice choose_kernel_on_device(const BackwardProblem& problem,
                                     const Architecture& architecture,
                                     const Constraint& constraint);

}  // namespace per_step_dense
