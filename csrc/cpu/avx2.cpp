// The kernels in this instruction set, of which no other file may be compiled with a part.
#if defined(__x86_64__)

#include <cstring>

#include "cpu/kernels.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "cpu/product.h"

namespace per_step_dense::cpu {

const Kernels kAvx2Kernels = kernels_of<Registers<8, 6>>();  // 16 registers

}  // namespace per_step_dense::cpu

#if defined(__clang__)
#pragma clang attribute pop
#endif

#endif
