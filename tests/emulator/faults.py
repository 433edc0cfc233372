"""The faults that test_emulator_selftest.py plants, each an edit or two of a source.

A fault names what to run: an operation of the package or an example kernel. Texts are quoted from
the sources; where a source changes, its quotation here changes with it, or planting fails.
"""

from __future__ import annotations

from typing import NamedTuple

from .mutation import Mutation


class Fault(NamedTuple):
    scenario: str
    mutations: tuple[Mutation, ...]


SIMT = "csrc/kernels/simt/"
ONE_BLOCK = Mutation("csrc/kernels/launch_shape.h", "(int64_t{1} << 31) - 1", "1")
SYNC = "__syncthreads();"

PACKAGE_FAULTS: dict[str, Fault] = {
    "no barrier between filling and reading a tile": Fault(
        "forward",
        (Mutation(SIMT + "mainloop.cuh", SYNC, "", 1),),
    ),
    "no barrier between reading and refilling a tile": Fault(
        "forward",
        (Mutation(SIMT + "mainloop.cuh", SYNC, "", 2),),
    ),
    "no barrier before the column sums": Fault(
        "backward",
        (Mutation(SIMT + "epilogue.cuh", SYNC, "", 1),),
    ),
    "no barrier between the column sums and the block's next tile": Fault(
        "backward",
        (Mutation(SIMT + "epilogue.cuh", SYNC, "", 2), ONE_BLOCK),
    ),
    "the first k-tile is skipped": Fault(
        "forward",
        (Mutation(SIMT + "mainloop.cuh", "int64_t k = 0;", "int64_t k = Config::kBlockK;"),),
    ),
    "the sums are not folded at the end": Fault(
        "forward",
        (Mutation(SIMT + "mainloop.cuh", "  accum.fold();\n}", "}"),),
    ),
    "long sums are added up term by term": Fault(
        "long_sums",
        (Mutation(SIMT + "config.cuh", "kTermsPerFold = 256", "kTermsPerFold = 1 << 30"),),
    ),
    "what the bias gradient rounds off is lost": Fault(
        "long_sums",
        (Mutation(SIMT + "mainloop.cuh", "? sum + lost : sum", "? sum : sum"),),
    ),
    "the row predicate is off by one": Fault(
        "forward",
        (Mutation(SIMT + "operand_tile.cuh", "row_step_ < rows_left_", "row_step_ <= rows_left_"),),
    ),
    "the k predicate is off by one": Fault(
        "forward",
        (Mutation(SIMT + "operand_tile.cuh", "k_step_ < k_left_", "k_step_ <= k_left_"),),
    ),
    "the operand does not advance": Fault(
        "forward",
        (Mutation(SIMT + "operand_tile.cuh", "gmem_ += tile_stride_;", ""),),
    ),
    "what is left of k does not shrink": Fault(
        "forward",
        (Mutation(SIMT + "operand_tile.cuh", "k_left_ -= Config::kBlockK;", ""),),
    ),
    "elements outside keep what the register held": Fault(
        "forward",
        (
            Mutation(
                SIMT + "operand_tile.cuh",
                "staged_[j] = inside ? ptx::ld_global_nc(gmem_ + j * elem_stride_) : Scalar(0);",
                "if (inside) staged_[j] = ptx::ld_global_nc(gmem_ + j * elem_stride_);",
            ),
        ),
    ),
    "a tile is stored one row too far": Fault(
        "forward",
        (Mutation(SIMT + "operand_tile.cuh", "smem[k_ + j", "smem[1 + k_ + j"),),
    ),
    "the step's stride is taken for the row's": Fault(
        "forward",
        (Mutation(SIMT + "operand_tile.cuh", "t * operand.stride_t", "t * operand.stride_row"),),
    ),
    "the strides of x are swapped": Fault(
        "forward",
        (Mutation(SIMT + "launch.cu", "/*row=*/0, /*k=*/2", "/*row=*/2, /*k=*/0", 1),),
    ),
    "columns are written past the edge": Fault(
        "forward",
        (Mutation(SIMT + "epilogue.cuh", "n >= gemm.n", "n > gemm.n"),),
    ),
    "rows are written past the edge": Fault(
        "forward",
        (Mutation(SIMT + "epilogue.cuh", "m >= gemm.m", "m > gemm.m"),),
    ),
    "a thread's outputs are transposed": Fault(
        "forward",
        (Mutation(SIMT + "epilogue.cuh", "accum.tile[i][j]", "accum.tile[j][i]"),),
    ),
    "the epilogue starts at a wrong column": Fault(
        "forward",
        (Mutation(SIMT + "epilogue.cuh", "n0 + thread_n<Config>()", "n0 + thread_m<Config>()"),),
    ),
    "the bias is forgotten": Fault(
        "forward",
        (Mutation(SIMT + "epilogue.cuh", ".total + bias;", ".total + 0 * bias;"),),
    ),
    "the bias is that of step 0": Fault(
        "forward",
        (
            Mutation(
                SIMT + "launch.cu",
                "return {view.data, view.stride[0], view.stride[1]};",
                "return {view.data, view.stride[1], view.stride[0]};",
            ),
        ),
    ),
    "the activation is forgotten": Fault(
        "forward",
        (Mutation(SIMT + "epilogue.cuh", "activate(gemm.activation, z)", "z"),),
    ),
    "column sums are written past the edge": Fault(
        "backward",
        (Mutation(SIMT + "epilogue.cuh", "share == 0 && n0 + column < gemm.n", "share == 0"),),
    ),
    "a share of the column sums is left out": Fault(
        "backward",
        (Mutation(SIMT + "epilogue.cuh", "int i = 0; i < kShares", "int i = 1; i < kShares"),),
    ),
    "the last, ragged tile is not launched": Fault(
        "forward",
        (Mutation(SIMT + "launch.cu", "(a + b - 1) / b", "a / b"),),
    ),
    "too little shared memory is asked for": Fault(
        "forward",
        (Mutation(SIMT + "launch.cu", "sizeof(SharedStorage<Tile>)};", "1024};"),),
    ),
    "the m-tile is cut by the count of n-tiles": Fault(
        "forward",
        (
            Mutation(
                SIMT + "gemm.cuh",
                "tile / gemm.tiles_n % gemm.tiles_m",
                "tile / gemm.tiles_n % gemm.tiles_n",
            ),
        ),
    ),
    "the second product's tiles are counted from the first's": Fault(
        "backward",
        (Mutation(SIMT + "gemm.cuh", "tile - list.tiles[0] : tile", "tile : tile"),),
    ),
    "one element too many": Fault(
        "activation_backward",
        (
            Mutation(
                "csrc/kernels/activation_backward.cuh", "element < elements", "element <= elements"
            ),
        ),
    ),
    "the step's index is not wrapped": Fault(
        "activation_backward",
        (Mutation("csrc/kernels/activation_backward.cuh", "row % t", "row / t"),),
    ),
}


MMA_SYNC = "tests/emulator/kernels/mma_sync_gemm.cuh"
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
