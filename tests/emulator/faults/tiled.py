"""Faults in what the families of tiles share: cutting, scheduling, copying, column sums, stores."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

TILED = "csrc/kernels/tiled/"
OPERAND_COPY = TILED + "operand_copy.cuh"
TILER = TILED + "tiler.cpp"
SCHEDULER = TILED + "scheduler.cuh"
COLUMN_SUMS = TILED + "column_sums.cuh"
STORE = "csrc/kernels/store_group.cuh"

TILED_FAULTS: dict[str, Fault] = {
    "the column sums skip a share's rows": fault(
        "backward", COLUMN_SUMS, "j * kThreads, k + share)", "j * Config::kThreads, k)"
    ),
    "rows past the edge are copied": fault(
        "forward of vectors", OPERAND_COPY, "row >= rows_left_", "row > rows_left_"
    ),
    "terms past the end are copied": fault("forward", OPERAND_COPY, "k >= k_left", "k > k_left"),
    "the last chunk of a row is copied whole": fault(
        "forward of vectors",
        OPERAND_COPY,
        "int bytes = min(elements_left(row, k, k_left) * kElementBytes, kBytes)",
        "int bytes = elements_left(row, k, k_left) > 0 ? kBytes : 0",
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
        "split forward", OPERAND_COPY, "(first_k + own.k)", "own.k"
    ),
    "a tile starts at the first row": fault(
        "forward", OPERAND_COPY, "(first_row + own.row)", "own.row"
    ),
    "a thread's elements are not spaced": fault(
        "forward",
        OPERAND_COPY,
        "gmem_ + step.row * operand_.stride_row",
        "gmem_ + 0 * operand_.stride_row",
    ),
    "a tile's elements are stored one row too far": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "*tile.at(first.row + step.row,",
        "*tile.at(first.row + 1 + step.row,",
    ),
    "16-bit elements outside keep what the register held": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "elements[e] = inside ? ptx::ld_global_nc(source(step)) : Scalar{};",
        "if (inside) elements[e] = ptx::ld_global_nc(source(step));",
    ),
    "16-bit elements outside are read": fault(
        "forward of 16-bit elements",
        OPERAND_COPY,
        "elements_left(first.row + step.row, first.k + step.k, k_left) > 0",
        "true",
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
        "forward of few rows", OPERAND_COPY, "j % copies_a_line * threads", "0 * threads"
    ),
    "columns are written past the edge": fault(
        "forward", STORE, "if (j < count)", "if (j <= count)"
    ),
    "whole vectors are stored past the edge": fault(
        "forward into padded rows", STORE, "count >= kGroup", "count > 0"
    ),
    "vectors are stored without a look at the row's stride": fault(
        "backward", TILER, "is_multiple(matrix.stride_m, element_bytes, bytes) &&", ""
    ),
    "vectors are stored without a look at the columns' stride": fault(
        "backward into strided rows", TILER, "matrix.stride_n == 1 &&", ""
    ),
    "a vector's elements are all the first": fault(
        "backward of vectors", STORE, "values[j + e]);", "values[j]);"
    ),
    "a thread's second column is summed as its first": fault(
        "backward of few rows", COLUMN_SUMS, "first + j * kThreads", "first"
    ),
    "a thread's second column sum is lost": fault(
        "backward of few rows", COLUMN_SUMS, "column += kThreads", "column += kBlockN"
    ),
    "a part of the column sums lies where the first does": fault(
        "split backward", COLUMN_SUMS, "at.split * tiled.column_sum_part_elems +", ""
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
