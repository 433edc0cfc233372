"""Faults in the family `simt`."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

SIMT = "csrc/kernels/simt/"
MAINLOOP = SIMT + "mainloop.cuh"
COPY = SIMT + "operand_copy.cuh"
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
    "the column sums skip a share's rows": fault(
        "backward", MAINLOOP, "j * Config::kThreads, k + share)", "j * Config::kThreads, k)"
    ),
}

COPY_FAULTS: dict[str, Fault] = {
    "rows past the edge are copied": fault(
        "forward of vectors", COPY, "row >= rows_left_", "row > rows_left_"
    ),
    "terms past the end are copied": fault("forward", COPY, "k >= k_left", "k > k_left"),
    "the last chunk of a row is copied whole": fault(
        "forward of vectors",
        COPY,
        "int bytes = min(elements_left(row, k, k_left) * kElementBytes, kBytes)",
        "int bytes = elements_left(row, k, k_left) > 0 ? kBytes : 0",
    ),
    "chunks along rows are cut by what is left of k": fault(
        "forward of vectors",
        COPY,
        "kMajor == Major::kK ? k_left - k : rows_left_ - row",
        "k_left - k",
    ),
    "the operand does not advance": fault(
        "forward", COPY, "    gmem_ += Config::kBlockK * operand_.stride_k;\n", ""
    ),
    "the step's stride is taken for the row's": fault(
        "forward", COPY, "t * operand.stride_t", "t * operand.stride_row"
    ),
    "a split starts at the first term": fault("split forward", COPY, "(first_k + own.k)", "own.k"),
    "a tile starts at the first row": fault("forward", COPY, "(first_row + own.row)", "own.row"),
    "a thread's elements are not spaced": fault(
        "forward",
        COPY,
        "gmem_ + step.row * operand_.stride_row",
        "gmem_ + 0 * operand_.stride_row",
    ),
    "a tile's elements are stored one row too far": fault(
        "forward of 16-bit elements",
        COPY,
        "*tile.at(first.row + step.row,",
        "*tile.at(first.row + 1 + step.row,",
    ),
    "16-bit elements outside keep what the register held": fault(
        "forward of 16-bit elements",
        COPY,
        "elements[e] = inside ? ptx::ld_global_nc(source(step)) : Scalar{};",
        "if (inside) elements[e] = ptx::ld_global_nc(source(step));",
    ),
    "16-bit elements outside are read": fault(
        "forward of 16-bit elements",
        COPY,
        "elements_left(first.row + step.row, first.k + step.k, k_left) > 0",
        "true",
    ),
    "copies of 8 bytes move 16": fault(
        "forward of 8-byte copies", COPY, "copy_chunks<8>", "copy_chunks<16>"
    ),
    "copies are chosen without a look at the address": fault(
        "misaligned forward", PLAN, "is_aligned(operand.data, bytes) &&", ""
    ),
    "copies are chosen without a look at the row's stride": fault(
        "forward of odd rows", PLAN, "is_multiple(across, element_bytes, bytes) &&", ""
    ),
    "copies are chosen without a look at the step's stride": fault(
        "forward of odd steps",
        PLAN,
        "is_multiple(operand.stride_t, element_bytes, bytes)",
        "true",
        1,
    ),
    "copies are wide where elements are not contiguous": fault(
        "forward", PLAN, "along == 1 &&", ""
    ),
    "a line longer than the block's threads is copied in part": fault(
        "forward of few rows", COPY, "j % copies_a_line * threads", "0 * threads"
    ),
}

EPILOGUE_FAULTS: dict[str, Fault] = {
    "columns are written past the edge": fault(
        "forward", EPILOGUE, "if (j < count)", "if (j <= count)"
    ),
    "whole vectors are stored past the edge": fault(
        "forward into padded rows", EPILOGUE, "count >= kGroup", "count > 0"
    ),
    "rows are written past the edge": fault(
        "forward", EPILOGUE, "m >= tiled_.gemm.m", "m > tiled_.gemm.m"
    ),
    "vectors are stored without a look at the row's stride": fault(
        "backward", PLAN, "is_multiple(matrix.stride_m, element_bytes, bytes) &&", ""
    ),
    "vectors are stored without a look at the columns' stride": fault(
        "backward into strided rows", PLAN, "matrix.stride_n == 1 &&", ""
    ),
    "a vector's elements are all the first": fault(
        "backward of vectors", EPILOGUE, "values[j + e]);", "values[j]);"
    ),
    "a thread's second column is summed as its first": fault(
        "backward of few rows", MAINLOOP, "first + j * Config::kThreads", "first"
    ),
    "a thread's second column sum is lost": fault(
        "backward of few rows", EPILOGUE, "column += Config::kThreads", "column += Config::kBlockN"
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
    "a part of the column sums lies where the first does": fault(
        "split backward", EPILOGUE, "at.split * tiled.column_sum_part_elems +", ""
    ),
    "no barrier before the column sums": fault("backward", EPILOGUE, SYNC, "", 1),
    "no barrier between the column sums and the block's next tile": Fault(
        "backward", (Mutation(EPILOGUE, SYNC, "", 2), ONE_BLOCK)
    ),
    "column sums are written past the edge": fault(
        "backward", EPILOGUE, "if (at.n0 + column >= tiled.gemm.n) break;", ""
    ),
    "a share of the column sums is left out": fault(
        "backward", EPILOGUE, "int i = 0; i < Config::kShares", "int i = 1; i < Config::kShares"
    ),
}

TILING_FAULTS: dict[str, Fault] = {
    "the last, ragged tile is not launched": fault(
        "forward", PLAN, "ceil_div(gemm.n, tile_.block_n)", "gemm.n / tile_.block_n"
    ),
    "too little shared memory is asked for": fault(
        "forward", PLAN, "size_t(tile_.stages)", "size_t(tile_.stages - 1)"
    ),
    "the backward's shared memory is that of one product": fault(
        "backward",
        PLAN,
        "std::max(tiler.smem_bytes<GradInput>(), tiler.smem_bytes<GradWeight>())",
        "tiler.smem_bytes<GradWeight>()",
    ),
    "the m-tile is cut by the count of n-tiles": fault(
        "forward",
        GEMM,
        "tile / tiled.tiles_n % tiled.tiles_m",
        "tile / tiled.tiles_n % tiled.tiles_n",
    ),
    "the split is not wrapped out of the step": fault(
        "split forward", GEMM, "matrix % tiled.gemm.t", "matrix"
    ),
    "a split adds up all terms that are left": fault(
        "split forward",
        GEMM,
        "min(tiled.terms, tiled.gemm.k - at.first_k)",
        "tiled.gemm.k - at.first_k",
    ),
    "the last split has as many terms as the others": fault(
        "split forward", GEMM, "min(tiled.terms, tiled.gemm.k - at.first_k)", "tiled.terms"
    ),
    "every row of tiles forms the column sums": fault(
        "backward of vectors", GEMM, "&& m_tile == 0", ""
    ),
    "a split part is rounded to the operands' type": fault(
        "split backward",
        GEMM,
        "TileStore<Accum, Config, Product>",
        "TileStore<typename Config::Scalar, Config, Product>",
    ),
    "the second product's tiles are counted from the first's": fault(
        "backward", GEMM, "is_first ? tile : tile - first_tiles", "tile"
    ),
    "the products are taken in the wrong order": fault(
        "backward", GEMM, "is_first == weight_first", "is_first != weight_first"
    ),
    "the grid ends one tile early": fault("backward", GEMM, "tile < tiles;", "tile < tiles - 1;"),
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
