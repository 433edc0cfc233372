"""Faults in the example kernels and in the behaviours of single instructions."""

from __future__ import annotations

from ..mutation import Mutation
from .common import SYNC, Fault

MMA_SYNC = "tests/emulator/kernels/mma_sync_gemm.cuh"
MATRIX = "tests/emulator/kernels/matrix_behaviours.cuh"
WGMMA = "tests/emulator/kernels/wgmma_gemm.cuh"
STAGE_BYTES = "(full, Config::kStageBytes)"
EMPTY_ARRIVE = "    if (threadIdx.x % 128 == 0) ptx::mbarrier_arrive(empty);\n"
WGMMA_WAIT = "    ptx::wgmma_wait_group<0>();\n"

EXAMPLE_FAULTS: dict[str, Fault] = {
    "mma_sync: cp.async is not waited for": Fault(
        "mma_sync",
        (
            Mutation(MMA_SYNC, "    ptx::cp_async_wait_group<1>();\n", ""),
            Mutation(MMA_SYNC, "  ptx::cp_async_wait_group<0>();\n", ""),
        ),
    ),
    "mma_sync: the wait leaves the tile's own group pending": Fault(
        "mma_sync",
        (Mutation(MMA_SYNC, "cp_async_wait_group<1>", "cp_async_wait_group<2>"),),
    ),
    "mma_sync: no barrier after the wait": Fault("mma_sync", (Mutation(MMA_SYNC, SYNC, "", 1),)),
    "mma_sync: no barrier before the refill": Fault("mma_sync", (Mutation(MMA_SYNC, SYNC, "", 2),)),
    "mma_sync: ldmatrix reads the wrong chunk": Fault(
        "mma_sync",
        (Mutation(MMA_SYNC, "weight_offset(k_row, n_chunk)", "weight_offset(k_row, n_chunk ^ 1)"),),
    ),
    "the full barrier is not waited for": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "    mbarrier_wait(full, ring.parity);\n", ""),),
    ),
    "the empty barrier is not waited for": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "    mbarrier_wait(empty, ring.parity ^ 1);", ""),),
    ),
    "a descriptor claims the 64-byte swizzle": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "kSwizzle128 = 1", "kSwizzle128 = 2"),),
    ),
    "more bytes are expected than come": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, STAGE_BYTES, "(full, Config::kStageBytes + 128)"),),
    ),
    "fewer bytes are expected than come": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, STAGE_BYTES, "(full, Config::kXBytes)"),),
    ),
    "LBO and SBO are swapped, two panels": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "Config::kPanelBytes, 1024);", "1024, Config::kPanelBytes);"),),
    ),
    "LBO and SBO are swapped, one panel": Fault(
        "wgmma_64x1",
        (Mutation(WGMMA, "Config::kPanelBytes, 1024);", "1024, Config::kPanelBytes);"),),
    ),
    "the barriers' init is not fenced": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "  ptx::fence_mbarrier_init();\n", ""),),
    ),
    "no barrier after the barriers' init": Fault("wgmma_128x1", (Mutation(WGMMA, SYNC, ""),)),
    "shared memory is not aligned to the swizzle": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "(address + 1023u) & ~1023u", "address"),),
    ),
    "no wgmma.fence": Fault("wgmma_128x1", (Mutation(WGMMA, "    ptx::wgmma_fence();\n", ""),)),
    "a stage is released before wgmma has read it": Fault(
        "wgmma_128x1",
        (
            Mutation(WGMMA, EMPTY_ARRIVE, ""),
            Mutation(WGMMA, WGMMA_WAIT, EMPTY_ARRIVE + WGMMA_WAIT),
        ),
    ),
    "wgmma is not waited for": Fault(
        "wgmma_128x1",
        (
            Mutation(WGMMA, WGMMA_WAIT, ""),
            Mutation(
                WGMMA,
                "  stage_outputs<Config>(params",
                "  ptx::wgmma_wait_group<1>();\n  stage_outputs<Config>(params",
            ),
        ),
    ),
    "one warp releases the stage for all four": Fault(
        "wgmma_128x2",
        (Mutation(WGMMA, "    ptx::bar_sync(1 + consumer, 128);", "", 1),),
    ),
    "a stage is never released": Fault("wgmma_128x1", (Mutation(WGMMA, EMPTY_ARRIVE, ""),)),
    "no proxy fence before the TMA store": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "  ptx::fence_proxy_async();", ""),),
    ),
    "one lane of a warp skips the proxy fence": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "ptx::fence_proxy", "if (threadIdx.x % 32 != 5) ptx::fence_proxy"),),
    ),
    "outputs are staged past the end of shared memory": Fault(
        "wgmma_128x1",
        (
            Mutation(
                WGMMA,
                "(params, origin, smem + output, accum)",
                "(params, origin, smem + output + 2 * Config::kPanelBytes + 2048, accum)",
            ),
        ),
    ),
    "no barrier before the TMA store": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "  ptx::bar_sync(1 + consumer, 128);\n  if", "  if"),),
    ),
    "the block exits before the TMA store has read": Fault(
        "wgmma_128x1",
        (Mutation(WGMMA, "  ptx::cp_async_bulk_wait_group_read<0>();\n", ""),),
    ),
    "the consumers ask for other registers than each other": Fault(
        "wgmma_128x1",
        (
            Mutation(
                WGMMA,
                "ptx::setmaxnreg_inc<",
                "if (threadIdx.x % 128 < 64) ptx::setmaxnreg_inc<",
            ),
        ),
    ),
}

# What a behaviour expects of the instruction must not come out of a wrong use of it.
BEHAVIOUR_FAULTS: dict[str, Fault] = {
    "mma of f16: two registers of A are swapped": Fault(
        "mma_of_f16",
        (
            Mutation(MATRIX, "a[1] = pair_a(g + 8, k);", "a[1] = pair_a(g, k + 8);"),
            Mutation(MATRIX, "a[2] = pair_a(g, k + 8);", "a[2] = pair_a(g + 8, k);"),
        ),
    ),
    "mma of tf32: the registers of B are swapped": Fault(
        "mma_of_tf32",
        (
            Mutation(MATRIX, "element_b(k + 4, g)", "element_b(k, g)"),
            Mutation(MATRIX, "element_b(k, g)", "element_b(k + 4, g)", 1),
        ),
    ),
    "mma of tf32: operands are not rounded": Fault(
        "mma_of_tf32",
        (
            Mutation(
                MATRIX,
                "return ptx::cvt_rna_tf32(value * (1 - 0x1p-13f));",
                "value *= 1 - 0x1p-13f;"
                "uint32_t bits; memcpy(&bits, &value, sizeof bits); return bits;",
            ),
        ),
    ),
}
