// wgmma: the products of a warpgroup's four warps, and what orders them.
//
// A product's sums lie in registers, kN / 2 of each thread, all of which its instruction names; so
// they are written out here once, by macros.
#pragma once

#include <cstdint>

#include "kernels/cuda.cuh"

namespace per_step_dense::ptx {

// Before the first product of a batch, and after registers of its sums were accessed otherwise.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}

__device__ __forceinline__ void wgmma_commit_group() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}

// Waits until at most kPending groups are under way.
template <int kPending>
__device__ __forceinline__ void wgmma_wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kPending) : "memory");
}

// Keeps the compiler from moving accesses to these registers across a product.
template <int kCount>
__device__ __forceinline__ void fence_operand(float (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}

template <int kCount>
__device__ __forceinline__ void fence_operand(uint32_t (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

#define PSD_REGISTERS_32                                                   \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PSD_REGISTERS_64                                                             \
  PSD_REGISTERS_32                                                                   \
  ", "                                                                               \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PSD_REGISTERS_128                                                          \
  PSD_REGISTERS_64                                                                 \
  ", "                                                                             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, "              \
  "%77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, "              \
  "%90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, "           \
  "%103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, " \
  "%116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define PSD_OPERANDS_8(i)                                                                 \
  "+f"(accum[(i) + 0]), "+f"(accum[(i) + 1]), "+f"(accum[(i) + 2]), "+f"(accum[(i) + 3]), \
      "+f"(accum[(i) + 4]), "+f"(accum[(i) + 5]), "+f"(accum[(i) + 6]), "+f"(accum[(i) + 7])
#define PSD_OPERANDS_32(i) \
  PSD_OPERANDS_8(i), PSD_OPERANDS_8((i) + 8), PSD_OPERANDS_8((i) + 16), PSD_OPERANDS_8((i) + 24)
#define PSD_OPERANDS_64(i) PSD_OPERANDS_32(i), PSD_OPERANDS_32((i) + 32)
#define PSD_OPERANDS_128(i) PSD_OPERANDS_64(i), PSD_OPERANDS_64((i) + 64)

// After the registers: both descriptors, whether to add to what they hold, both transpositions.
#define PSD_WGMMA(n, type, count, a, b, adds, trans_a, trans_b)                        \
  asm volatile(                                                                        \
      "{\n"                                                                            \
      ".reg .pred p;\n"                                                                \
      "setp.ne.b32 p, " adds                                                           \
      ", 0;\n"                                                                         \
      "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type                   \
      " "                                                                              \
      "{" PSD_REGISTERS_##count "}, " a ", " b ", p, 1, 1, " trans_a ", " trans_b      \
                                ";\n"                                                  \
                                "}\n"                                                  \
      : PSD_OPERANDS_##count(0)                                                        \
      : "l"(descriptor_a), "l"(descriptor_b), "r"(int(accumulate)), "n"(int(kTransA)), \
        "n"(int(kTransB)))
// Behind `adds`: what a, b and adds are. Nothing is transposed.
#define PSD_WGMMA_TF32(n, count, a, b, adds, ...) \
  asm volatile(                                   \
      "{\n"                                       \
      ".reg .pred p;\n"                           \
      "setp.ne.b32 p, " adds                      \
      ", 0;\n"                                    \
      "wgmma.mma_async.sync.aligned.m64n" n       \
      "k8.f32.tf32.tf32 "                         \
      "{" PSD_REGISTERS_##count "}, " a ", " b    \
                                ", p, 1, 1;\n"    \
                                "}\n"             \
      : PSD_OPERANDS_##count(0)                   \
      : __VA_ARGS__, "l"(descriptor_b), "r"(int(accumulate)))
#define PSD_WGMMA_OF(type)                                                           \
  static_assert(kN == 64 || kN == 128 || kN == 256, "no such width is written out"); \
  if constexpr (kN == 64) {                                                          \
    PSD_WGMMA("64", type, 32, "%32", "%33", "%34", "%35", "%36");                    \
  } else if constexpr (kN == 128) {                                                  \
    PSD_WGMMA("128", type, 64, "%64", "%65", "%66", "%67", "%68");                   \
  } else {                                                                           \
    PSD_WGMMA("256", type, 128, "%128", "%129", "%130", "%131", "%132");             \
  }

// accum = a b, or accum += a b: a is 64 x 16, b 16 x kN, both in shared memory, as their matrix
// descriptors say. A transposition says that an operand lies along its rows, not along k.
template <int kN, bool kTransA, bool kTransB>
__device__ __forceinline__ void wgmma_m64k16_f16(float (&accum)[kN / 2], uint64_t descriptor_a,
                                                 uint64_t descriptor_b, bool accumulate) {
  PSD_WGMMA_OF("f16")
}
template <int kN, bool kTransA, bool kTransB>
__device__ __forceinline__ void wgmma_m64k16_bf16(float (&accum)[kN / 2], uint64_t descriptor_a,
                                                  uint64_t descriptor_b, bool accumulate) {
  PSD_WGMMA_OF("bf16")
}

// The same of a, 64 x 8, and b, 8 x kN, both along k: the only way that they may lie in this type.
template <int kN>
__device__ __forceinline__ void wgmma_m64k8_tf32(float (&accum)[kN / 2], uint64_t descriptor_a,
                                                 uint64_t descriptor_b, bool accumulate) {
  static_assert(kN == 128, "no other width is written out");
  PSD_WGMMA_TF32("128", 64, "%64", "%65", "%66", "l"(descriptor_a));
}

// The same of a in registers, each thread's as for mma_m16n8k8_tf32.
template <int kN>
__device__ __forceinline__ void wgmma_m64k8_tf32(float (&accum)[kN / 2], const uint32_t (&a)[4],
                                                 uint64_t descriptor_b, bool accumulate) {
  static_assert(kN == 64 || kN == 128, "no such width is written out");
  if constexpr (kN == 64) {
    PSD_WGMMA_TF32("64", 32, "{%32, %33, %34, %35}", "%36", "%37", "r"(a[0]), "r"(a[1]), "r"(a[2]),
                   "r"(a[3]));
  } else {
    PSD_WGMMA_TF32("128", 64, "{%64, %65, %66, %67}", "%68", "%69", "r"(a[0]), "r"(a[1]), "r"(a[2]),
                   "r"(a[3]));
  }
}

#undef PSD_WGMMA_OF
#undef PSD_WGMMA_TF32
#undef PSD_WGMMA
#undef PSD_OPERANDS_128
#undef PSD_OPERANDS_64
#undef PSD_OPERANDS_32
#undef PSD_OPERANDS_8
#undef PSD_REGISTERS_128
#undef PSD_REGISTERS_64
#undef PSD_REGISTERS_32

}  // namespace per_step_dense::ptx
