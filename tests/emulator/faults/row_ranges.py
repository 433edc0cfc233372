"""Faults in rows that differ by step."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

TILED = "csrc/kernels/tiled/"
ROW_RANGES = TILED + "row_ranges.cuh"
RANGE, SCAN = "csrc/kernels/row_range.cuh", "csrc/kernels/warp_scan.cuh"
PRODUCTS, PRODUCT = "csrc/kernels/gemm.cpp", "csrc/kernels/gemm.h"
SIMT_PLAN = "csrc/kernels/simt/plan.cpp"
TINY_PLACE, TINY_WORK = "csrc/kernels/tiny/place.cuh", "csrc/kernels/tiny/work.cpp"
TINY_MAINLOOP = "csrc/kernels/tiny/mainloop.cuh"

ROW_RANGE_FAULTS: dict[str, Fault] = {
    "rows: where the step's begin is forgotten": fault(
        "sm80 packed forward", ROW_RANGES, "at.m0 = range.begin + found", "at.m0 = found"
    ),
    "rows: a step has one more than it has": fault(
        "sm80 packed forward",
        RANGE,
        "min(max(count, int64_t{0}),",
        "min(max(count + 1, int64_t{1}),",
    ),
    "rows: the last step has all it claims": fault(
        "sm80 packed forward",
        RANGE,
        "inside + min(max(count, int64_t{0}), rows - inside)",
        "inside + count",
    ),
    "rows: a step ends where all rows do": fault(
        "sm80 packed forward", ROW_RANGES, "min(range.end - at.m0,", "min(tiled.gemm.m - at.m0,"
    ),
    "rows: the ranges are not looked at": fault(
        "sm80 packed forward", PRODUCTS, "  gemm.m_ranges = problem.rows;\n", "", 1
    ),
    "rows: grad-input does not look at the ranges": fault(
        "sm80 packed backward", PRODUCTS, "  gemm.m_ranges = problem.rows;\n", "", 2
    ),
    "rows: grad-weight does not look at the ranges": fault(
        "sm80 packed backward", PRODUCTS, "  gemm.k_ranges = problem.rows;\n", ""
    ),
    "rows: the search begins one tile late": fault(
        "sm80 packed forward", ROW_RANGES, "before <= wanted", "before < wanted"
    ),
    "rows: the tiles of a thread's own steps are counted as before them": fault(
        "sm80 packed forward", ROW_RANGES, "before = up_to_own - own", "before = up_to_own"
    ),
    "rows: a lane does not add those of the one before": fault(
        "sm80 packed forward", SCAN, ">= unsigned(distance)", "> unsigned(distance)"
    ),
    "rows: a warp's count is its first lane's": fault(
        "sm80 packed forward of many steps", ROW_RANGES, "lane == 31", "lane == 0"
    ),
    "rows: a warp counts its own steps twice": fault(
        "sm80 packed forward of many steps", ROW_RANGES, "w < warp", "w <= warp"
    ),
    "rows: a warp's count is another's": fault(
        "sm80 packed forward of many steps", ROW_RANGES, "tiles_of_warp[w]", "tiles_of_warp[0]"
    ),
    "rows: more steps than threads are forgotten": fault(
        "sm80 packed forward of many steps",
        ROW_RANGES,
        "min(first_ + steps, gemm.t)",
        "min(first_ + 1, gemm.t)",
    ),
    "rows: a thread tells of its first step only": fault(
        "sm80 packed forward of many steps", ROW_RANGES, "      m_tile -= tiles;\n", ""
    ),
    "rows: a last tile with few rows does not count": fault(
        "sm80 packed forward",
        ROW_RANGES,
        "range.end - range.begin + Config::kBlockM - 1",
        "range.end - range.begin",
    ),
    "rows: no barrier between counting and adding the counts": fault(
        "sm80 packed forward of many steps", ROW_RANGES, SYNC, "", 1
    ),
    "rows: no barrier between telling and reading what was found": fault(
        "sm80 packed forward", ROW_RANGES, SYNC, "", 2
    ),
    "rows: a tile that there is not is computed": fault(
        "sm80 packed forward", ROW_RANGES, "  if (found.step < 0) return at;\n", ""
    ),
    "rows: what was found for another tile still holds": Fault(
        "sm80 packed forward",
        (Mutation(ROW_RANGES, "if (threadIdx.x == 0) found_.step = -1;", ""), ONE_BLOCK),
    ),
    "rows: tiles of columns are taken for tiles of rows": fault(
        "sm80 packed forward", ROW_RANGES, "find(tile / tiled.tiles_n)", "find(tile)"
    ),
    "rows: all tiles have the first columns": fault(
        "sm80 packed forward", ROW_RANGES, "tile % tiled.tiles_n * Config::kBlockN", "0"
    ),
    "rows: a step's terms begin at the first row": fault(
        "sm80 packed backward", ROW_RANGES, "  at.first_k += range.begin;\n", ""
    ),
    "rows: a step has the terms of a whole split": fault(
        "sm80 packed backward",
        ROW_RANGES,
        "min(tiled.terms, range.end - range.begin - at.first_k)",
        "tiled.terms",
    ),
    "rows: a later split adds up to the end of the next step": fault(
        "sm80 packed backward", ROW_RANGES, "range.begin - at.first_k)", "range.begin)"
    ),
    "rows: fewer tiles are launched than steps can need": fault(
        "sm80 packed forward", PRODUCT, "rows + steps * (tile_rows - 1)", "rows + tile_rows - 1"
    ),
    "rows: simt has no memory to search for a step in": fault(
        "packed forward of many steps", SIMT_PLAN, " + kNotesBytes", ""
    ),
    "rows: simt computes those of all steps": fault(
        "packed forward", ROW_RANGES, "!Product::kSumsRows && tiled.gemm.m_ranges.begin", "false"
    ),
    "rows: simt adds up those of all steps": fault(
        "packed backward", ROW_RANGES, "Product::kSumsRows && tiled.gemm.k_ranges.begin", "false"
    ),
    "rows: simt's step ends where all rows do": fault(
        "packed forward", ROW_RANGES, "min(range.end - at.m0,", "min(tiled.gemm.m - at.m0,"
    ),
    "rows: tiny forgets where the step's begin": fault(
        "tiny packed forward", TINY_PLACE, "place.m += static_cast<int>(rows.begin);", ""
    ),
    "rows: tiny's step ends where the most rows do": fault(
        "tiny packed forward", TINY_PLACE, "place.m_end = static_cast<int>(rows.end);", ""
    ),
    "rows: tiny reads those that a step does not have": fault(
        "tiny packed forward by warps", TINY_PLACE, "      place.terms = 0;\n", ""
    ),
    "rows: tiny reads beyond those of a step": fault(
        "tiny packed forward", TINY_MAINLOOP, "rows = place.m_end - place.m", "rows = 4"
    ),
    "rows: tiny's terms begin at the first row": fault(
        "tiny packed backward", TINY_PLACE, "place.first_k += static_cast<int>(terms.begin);", ""
    ),
    "rows: tiny's step has the most terms of all": fault(
        "tiny packed backward",
        TINY_PLACE,
        "min(place.terms, static_cast<int>(terms.end) - place.first_k)",
        "place.terms",
    ),
    "rows: tiny takes those of any step for vectors": fault(
        "tiny packed forward of columns",
        TINY_WORK,
        "!gemm.m_ranges.begin && along_rows",
        "along_rows",
    ),
    "rows: tiny takes terms of any step for chunks": fault(
        "tiny packed backward of columns", TINY_WORK, " && !gemm.k_ranges.begin", ""
    ),
    "rows: tiny cuts sums whose parts would have gaps": fault(
        "tiny split packed backward",
        TINY_WORK,
        "gemm.m_ranges.begin ? 1 : std::max(splits, 1)",
        "std::max(splits, 1)",
    ),
    "rows: tiny has units for the rows of an average step": fault(
        "tiny packed forward",
        PRODUCT,
        "gemm.m_ranges.most : gemm.m",
        "gemm.m_ranges.total / gemm.t : gemm.m",
    ),
    "rows: tiny cuts the terms of an average step": fault(
        "tiny packed backward",
        PRODUCT,
        "gemm.k_ranges.most : gemm.k",
        "gemm.k_ranges.total / gemm.t : gemm.k",
    ),
}
