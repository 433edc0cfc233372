"""Faults in the family `simt`."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

SIMT = "csrc/kernels/simt/"
MAINLOOP = SIMT + "mainloop.cuh"
COLUMN_SUMS = SIMT + "column_sums.cuh"
EPILOGUE = SIMT + "epilogue.cuh"
CONFIG = SIMT + "config.cuh"
GEMM = SIMT + "gemm.cuh"
PLAN = SIMT + "plan.cpp"


SUM_FAULTS: dict[str, Fault] = {
    "the sums are not folded at the end": fault(
        "forward", MAINLOOP, "  });\n  accum.fold();", "  });"
    ),
    "a fold keeps what it has folded": fault("long sums", MAINLOOP, "recent[i][j] = 0;", ";"),
    "long sums are added up term by term": fault(
        "long sums",
        "csrc/kernels/sums.cuh",
        "inline constexpr int kTermsPerFold = ",
        "inline constexpr int kTermsPerFold = 4096 * ",
    ),
    "the column sums skip a share's rows": fault(
        "backward", COLUMN_SUMS, "j * kThreads, k + share)", "j * kThreads, k)"
    ),
    "a thread's second column is summed as its first": fault(
        "backward of few rows", COLUMN_SUMS, "first + j * kThreads", "first"
    ),
    "what the bias gradient rounds off is lost": fault(
        "long sums", "csrc/kernels/sums.cuh", "? sum + lost : sum", "? sum : sum"
    ),
}

EPILOGUE_FAULTS: dict[str, Fault] = {
    "the block's next tile says where it is before all have stored": Fault(
        "forward",
        (Mutation(GEMM, SYNC, ""), ONE_BLOCK),
    ),
    "rows are written past the edge": fault(
        "forward", EPILOGUE, "row >= at_.rows", "row > at_.rows"
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
        "forward", EPILOGUE, "activate_all<Scalar>(gemm.activation, values);", ""
    ),
    "a part lies where the first does": fault(
        "split forward", EPILOGUE, "at_.split * tiled_.part_elems +", ""
    ),
}

TILING_FAULTS: dict[str, Fault] = {
    "too little shared memory is asked for": fault(
        "forward", PLAN, "size_t(tile.stages)", "size_t(tile.stages - 1)"
    ),
    "a thread's columns are another's": fault(
        "forward",
        CONFIG,
        "(j / kGroup * Config::kThreadsN + thread_n)",
        "(j / kGroup * Config::kThreadsN + thread_m)",
    ),
    "lanes have the same columns, and others none": fault(
        "forward", CONFIG, "lane / 2 % Config::kLanesN", "lane % Config::kLanesN"
    ),
    "rows of a group lie in one line": fault(
        "backward", CONFIG, "row % kGroup * (kRows / kGroup) + row / kGroup", "row / kGroup"
    ),
    "a thread's rows lie as if the other operand's layout held": fault(
        "backward",
        CONFIG,
        "if constexpr (kMajorA == Major::kK) return",
        "if constexpr (kMajorA == Major::kRow) return",
    ),
}

SIMT_FAULTS = {**SUM_FAULTS, **EPILOGUE_FAULTS, **TILING_FAULTS}
