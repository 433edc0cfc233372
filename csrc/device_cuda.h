// What the chooser is told of a CUDA device.
#pragma once

#include <c10/core/Device.h>

#include "architecture.h"

namespace per_step_dense::cuda {

// Asked of the driver once a device. A ValueError where this module's kernels cannot run on it.
const Architecture& architecture_of_device(c10::DeviceIndex device);

}  // namespace per_step_dense::cuda
