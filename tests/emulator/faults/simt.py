"""Faults in the family `simt`."""

from __future__ import annotations

from ..mutation import Mutation
from .common import SYNC, Fault, fault

SIMT = "csrc/kernels/simt/"
MAINLOOP = SIMT + "mainloop.cuh"
EPILOGUE = SIMT + "epilogue.cuh"
CONFIG = SIMT + "config.cuh"
GEMM = SIMT + "gemm.cuh"
PLAN = SIMT + "plan.cpp"


PIPELINE_FAULTS: dict[str, Fault] = {
    "no barrier between filling and reading a stage": fault(
        "forward of vectors", MAINLOOP, SYNC, "", 1
    ),
    "no barrier between the main loop and what reuses its memory": fault(
        "backward", MAINLOOP, SYNC, "", 2
    ),
    "the copies of a tile are not waited for": fault(
        "forward of vectors", MAINLOOP, "ptx::cp_async_wait_group<Config::kStages - 2>();", ""
    ),
    "the wait leaves the tile's own group pending": fault(
        "forward of vectors", MAINLOOP, "<Config::kStages - 2>", "<Config::kStages - 1>"
    ),
    "copies are not committed": fault(
        "forward of vectors", MAINLOOP, "    ptx::cp_async_commit_group();\n", ""
    ),
    "the main loop ends with copies in flight": Fault(
        "forward of vectors",
        (
            Mutation(MAINLOOP, "  ptx::cp_async_wait_group<0>();\n", ""),
            Mutation(MAINLOOP, "if (k_to_copy > 0)", "if (k_left > 0)"),
        ),
    ),
    "the stage that is read is refilled": fault(
        "forward of vectors", MAINLOOP, "refill = Config::kStages - 1;", "refill = 0;"
    ),
    "a stage is refilled before the barrier": fault(
        "forward of vectors",
        MAINLOOP,
        "    __syncthreads();\n    copy(refill, Config::kStages - 1);",
        "    copy(refill, Config::kStages - 1);\n    __syncthreads();",
    ),
    "the stage that is read does not advance": fault(
        "forward of vectors", MAINLOOP, "read + 1 == Config::kStages ? 0 : read + 1", "read"
    ),
    "the stages wrap one too late": fault(
        "forward of vectors",
        MAINLOOP,
        "refill + 1 == Config::kStages ?",
        "refill == Config::kStages ?",
    ),
    "the prologue fills one stage too few": fault(
        "forward of vectors",
        MAINLOOP,
        "stage < Config::kStages - 1; ++stage",
        "stage < Config::kStages - 2; ++stage",
    ),
    "tiles ahead are copied past the end of the sum": fault(
        "forward of vectors", MAINLOOP, "k_left - tiles_ahead * Config::kBlockK", "k_left"
    ),
    "the last k-tile is left out": fault(
        "forward of vectors", MAINLOOP, "; k_left > 0;", "; k_left > Config::kBlockK;"
    ),
    "the sums are not folded at the end": fault(
        "forward", MAINLOOP, "  accum.fold();\n  ptx", "  ptx"
    ),
    "a fold keeps what it has folded": fault("long sums", MAINLOOP, "recent[i][j] = 0;", ";"),
    "long sums are added up term by term": fault(
        "long sums",
        "csrc/kernels/sums.cuh",
        "inline constexpr int kTermsPerFold = ",
        "inline constexpr int kTermsPerFold = 4096 * ",
    ),
    "what the bias gradient rounds off is lost": fault(
        "long sums", "csrc/kernels/sums.cuh", "? sum + lost : sum", "? sum : sum"
    ),
}

COPY_FAULTS: dict[str, Fault] = {}

EPILOGUE_FAULTS: dict[str, Fault] = {
    "rows are written past the edge": fault(
        "forward", EPILOGUE, "m >= tiled_.gemm.m", "m > tiled_.gemm.m"
    ),
    "the bias is read past the edge": fault(
        "forward", EPILOGUE, "n >= tiled_.gemm.n) break", "n > tiled_.gemm.n) break"
    ),
    "the bias is forgotten": fault(
        "forward",
        EPILOGUE,
        "accum.results()[i][j] += value;",
        "accum.results()[i][j] += 0 * value;",
    ),
    "the bias is that of step 0 in the main launch": fault(
        "forward of vectors", EPILOGUE, "at_.t * bias.stride_t", "0 * bias.stride_t"
    ),
    "a row's outputs are the row's before": fault("forward", EPILOGUE, "accum.drop_row();", ""),
    "the activation is forgotten": fault(
        "forward", EPILOGUE, "activate(gemm.activation, values[e])", "values[e]"
    ),
    "a part lies where the first does": fault(
        "split forward", EPILOGUE, "at_.split * tiled_.part_elems +", ""
    ),
}

TILING_FAULTS: dict[str, Fault] = {
    "too little shared memory is asked for": fault(
        "forward", PLAN, "size_t(tile.stages)", "size_t(tile.stages - 1)"
    ),
    "a split part is rounded to the operands' type": fault(
        "split backward",
        GEMM,
        "TileStore<Accum, Config, Product>",
        "TileStore<typename Config::Scalar, Config, Product>",
    ),
    "a thread's columns are another's": fault(
        "forward",
        CONFIG,
        "(j / kGroup * Config::kThreadsN + thread_n)",
        "(j / kGroup * Config::kThreadsN + thread_m)",
    ),
    "a thread's rows lie as if the other operand's layout held": fault(
        "backward",
        CONFIG,
        "if constexpr (kMajorA == Major::kK) return",
        "if constexpr (kMajorA == Major::kRow) return",
    ),
}

SIMT_FAULTS = {**PIPELINE_FAULTS, **COPY_FAULTS, **EPILOGUE_FAULTS, **TILING_FAULTS}
