"""Faults in what the families of tiles share: cutting, scheduling, copying, column sums, stores."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

TILED = "csrc/kernels/tiled/"
OPERAND_COPY = TILED + "operand_copy.cuh"
TILER = TILED + "tiler.cpp"
SCHEDULER = TILED + "scheduler.cuh"
COLUMN_SUMS = TILED + "column_sums.cuh"
STAGES = TILED + "stages.cuh"
STORED_TYPE = TILED + "stored_type.cuh"
STORE = "csrc/kernels/store_group.cuh"

PIPELINE_FAULTS: dict[str, Fault] = {
    "no barrier between filling and reading a stage": fault(
        "forward of vectors", STAGES, SYNC, "", 1
    ),
    "no barrier between the main loop and what reuses its memory": fault(
        "sm80 forward", STAGES, SYNC, "", 2
    ),
    "the copies of a tile are not waited for": fault(
        "forward of vectors", STAGES, "ptx::cp_async_wait_group<Config::kStages - 2>();", ""
    ),
    "the wait leaves the tile's own group pending": fault(
        "forward of vectors", STAGES, "<Config::kStages - 2>", "<Config::kStages - 1>"
    ),
    "copies are not committed": fault(
        "forward of vectors", STAGES, "    ptx::cp_async_commit_group();\n", ""
    ),
    "the main loop ends with copies in flight": Fault(
        "forward of vectors",
        (
            Mutation(STAGES, "  ptx::cp_async_wait_group<0>();\n", ""),
            Mutation(STAGES, "if (k_to_copy > 0)", "if (k_left > 0)"),
        ),
    ),
    "the stage that is read is refilled": fault(
        "forward of vectors", STAGES, "refill = Config::kStages - 1;", "refill = 0;"
    ),
    "a stage is refilled before the barrier": fault(
        "forward of vectors",
        STAGES,
        "    __syncthreads();\n    copy(refill, Config::kStages - 1);",
        "    copy(refill, Config::kStages - 1);\n    __syncthreads();",
    ),
    "the stage that is read does not advance": fault(
        "forward of vectors", STAGES, "read + 1 == Config::kStages ? 0 : read + 1", "read"
    ),
    "the stages wrap one too late": fault(
        "forward of vectors",
        STAGES,
        "refill + 1 == Config::kStages ?",
        "refill == Config::kStages ?",
    ),
    "the prologue fills one stage too few": fault(
        "forward of vectors",
        STAGES,
        "stage < Config::kStages - 1; ++stage",
        "stage < Config::kStages - 2; ++stage",
    ),
    "tiles ahead are copied past the end of the sum": fault(
        "forward of vectors", STAGES, "k_left - tiles_ahead * Config::kBlockK", "k_left"
    ),
    "the last k-tile is left out": fault(
        "forward of vectors", STAGES, "; k_left > 0;", "; k_left > Config::kBlockK;"
    ),
}

TILING_FAULTS: dict[str, Fault] = {
    "rows past the edge are copied": fault(
        "forward of vectors", OPERAND_COPY, "row >= rows_left_", "row > rows_left_"
    ),
    "terms past the end are copied": fault("forward", OPERAND_COPY, "k >= k_left", "k > k_left"),
    "the last chunk of a row is copied whole": fault(
        "forward of vectors",
        OPERAND_COPY,
        "min(elements_left(at, k_left) * kElementBytes, kBytes)",
        "(elements_left(at, k_left) > 0 ? kBytes : 0)",
    ),
    "tiles with a last row are copied as if inside": fault(
        "forward of vectors", OPERAND_COPY, "rows_left_ >= kRows && ", ""
    ),
    "tiles with a last term are copied as if inside": fault(
        "forward of vectors", OPERAND_COPY, " && k_left >= Config::kBlockK", ""
    ),
    "chunks along rows are cut by what is left of k": fault(
        "forward of vectors",
        OPERAND_COPY,
        "kMajor == Major::kK ? k_left - k : rows_left_ - row",
        "k_left - k",
    ),
    "the operand does not advance": fault(
        "forward", OPERAND_COPY, "    gmem_ += Config::kBlockK * operand_.stride_k;\n", ""
    ),
    "the step's stride is taken for the row's": fault(
        "forward", OPERAND_COPY, "t * operand.stride_t", "t * operand.stride_row"
    ),
    "a split starts at the first term": fault(
        "split forward", OPERAND_COPY, "(first_k + k_)", "k_"
    ),
    "a tile starts at the first row": fault("forward", OPERAND_COPY, "(first_row + row_)", "row_"),
    "all copies of a thread are of its first line": fault(
        "forward",
        OPERAND_COPY,
        "if (j > 0 && j % Chunks::kCopiesALine == 0) line += line_step_;",
        "",
    ),
    "a tile's elements are stored one row too far": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "*tile.at(at.row, at.k) = elements[e];",
        "*tile.at(at.row + 1, at.k) = elements[e];",
    ),
    "16-bit elements outside keep what the register held": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "elements[e] = inside ? ptx::ld_global_nc(source) : Scalar{};",
        "if (inside) elements[e] = ptx::ld_global_nc(source);",
    ),
    "16-bit elements outside are read": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "const bool inside = elements_left(at, k_left) > 0;",
        "const bool inside = true;",
    ),
    "all 16-bit elements of a thread are of its first line": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "if ((e + 1) % Chunks::kCopiesALine == 0) line += line_step_;",
        "",
    ),
    "lines of a copy lie one after the other": fault(
        "forward", OPERAND_COPY, "max(kThreads / chunks, 1u)", "1"
    ),
    "copies of 8 bytes move 16": fault(
        "forward of 8-byte copies", OPERAND_COPY, "copy_chunks<8>", "copy_chunks<16>"
    ),
    "copies are chosen without a look at the address": fault(
        "misaligned forward", TILER, "is_aligned(operand.data, bytes) &&", ""
    ),
    "copies are chosen without a look at the row's stride": fault(
        "forward of odd rows", TILER, "is_multiple(across, element_bytes, bytes) &&", ""
    ),
    "copies are chosen without a look at the step's stride": fault(
        "forward of odd steps",
        TILER,
        "is_multiple(operand.stride_t, element_bytes, bytes)",
        "true",
        1,
    ),
    "copies are wide where elements are not contiguous": fault(
        "forward", TILER, "along == 1 &&", ""
    ),
    "a line longer than the block's threads is copied in part": fault(
        "forward of few rows",
        OPERAND_COPY,
        "fast = j % Chunks::kCopiesALine * kThreads * kChunkElems",
        "fast = 0",
    ),
    "columns are written past the edge": fault(
        "forward", STORE, "if (j < count)", "if (j <= count)", 2
    ),
    "whole vectors are stored past the edge": fault(
        "backward of vectors", STORE, "count >= kGroup", "true", 2
    ),
    "vectors are stored without a look at the row's stride": fault(
        "sm80 backward into spaced rows",
        TILER,
        "is_multiple(matrix.stride_m, element_bytes, bytes) &&",
        "",
    ),
    "vectors are stored without a look at the step's stride": fault(
        "sm80 forward into spaced rows",
        TILER,
        "is_multiple(matrix.stride_t, element_bytes, bytes)) {",
        "true) {",
    ),
    "vectors are stored without a look at the columns' stride": fault(
        "backward into strided rows", TILER, "matrix.stride_n == 1 &&", ""
    ),
    "a split part is rounded to the operands' type": fault(
        "split backward", STORED_TYPE, "visit(TypeTag<Accum>{})", "visit(TypeTag<Scalar>{})"
    ),
    "a whole sum is stored as a part": fault(
        "sm80 forward", STORED_TYPE, "if (tiled.stores_accum)", "if (true)"
    ),
    "vectors are stored that the end of a row cuts off": fault(
        "sm80 forward into padded rows", TILER, "is_multiple(n, element_bytes, bytes) &&", ""
    ),
    "vectors of z are stored as c allows": fault(
        "sm80 forward with z in strided rows",
        TILER,
        "std::min(tiled.store_elems, store_elems(tiled.gemm.z, gemm.n, bytes))",
        "tiled.store_elems",
    ),
    "a vector's elements are all the first": fault(
        "backward of vectors", STORE, "(values[e]);", "(values[0]);"
    ),
    "a thread's second column sum is lost": fault(
        "backward of few rows",
        COLUMN_SUMS,
        "column += Config::kThreads",
        "column += Config::kBlockN",
    ),
    "a part of the column sums lies where the first does": fault(
        "split backward", COLUMN_SUMS, "at.split * tiled.column_sum_part_elems", "0"
    ),
    "no barrier before the column sums": fault("backward", COLUMN_SUMS, SYNC, "", 1),
    "no barrier between the column sums and the block's next tile": Fault(
        "backward", (Mutation(COLUMN_SUMS, SYNC, "", 2), ONE_BLOCK)
    ),
    "column sums are written past the edge": fault(
        "backward", COLUMN_SUMS, "if (at.n0 + column >= tiled.gemm.n) break;", ""
    ),
    "a share of the column sums is left out": fault(
        "backward", COLUMN_SUMS, "int i = 0; i < kShares", "int i = 1; i < kShares"
    ),
    "the last, ragged tile is not launched": fault(
        "forward", TILER, "ceil_div(gemm.n, shape.n)", "gemm.n / shape.n"
    ),
    "the backward's shared memory is that of one product": fault(
        "backward",
        TILER,
        "std::max(grad_input.smem_bytes, grad_weight.smem_bytes)",
        "grad_weight.smem_bytes",
    ),
    "the m-tile is cut by the count of n-tiles": fault(
        "forward",
        SCHEDULER,
        "tile / tiled.tiles_n % tiled.tiles_m",
        "tile / tiled.tiles_n % tiled.tiles_n",
    ),
    "the split is not wrapped out of the step": fault(
        "split forward", SCHEDULER, "matrix % tiled.gemm.t", "matrix"
    ),
    "a split adds up all terms that are left": fault(
        "split forward",
        SCHEDULER,
        "min(tiled.terms, tiled.gemm.k - at.first_k)",
        "tiled.gemm.k - at.first_k",
    ),
    "the last split has as many terms as the others": fault(
        "split forward", SCHEDULER, "min(tiled.terms, tiled.gemm.k - at.first_k)", "tiled.terms"
    ),
    "every row of tiles forms the column sums": fault(
        "backward of vectors", SCHEDULER, "&& m_tile == 0", ""
    ),
    "the second product's tiles are counted from the first's": fault(
        "backward", SCHEDULER, "is_first ? tile : tile - first_tiles", "tile"
    ),
    "the products are taken in the wrong order": fault(
        "backward", SCHEDULER, "is_first == weight_first", "is_first != weight_first"
    ),
    "the grid ends one tile early": fault(
        "backward", SCHEDULER, "tile < tiles;", "tile < tiles - 1;"
    ),
}

TILED_FAULTS = {**PIPELINE_FAULTS, **TILING_FAULTS}
