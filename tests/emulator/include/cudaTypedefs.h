// Shadows CUDA's header: the type of the driver's only function that this project calls.
#pragma once

#include <cuda.h>

using PFN_cuTensorMapEncodeTiled_v12000 = decltype(&cuTensorMapEncodeTiled);
