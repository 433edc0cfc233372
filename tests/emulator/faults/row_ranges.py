"""Faults in rows that differ by step."""

from __future__ import annotations

from ..mutation import Mutation
from .common import ONE_BLOCK, SYNC, Fault, fault

TILED = "csrc/kernels/tiled/"
ROW_RANGES = TILED + "row_ranges.cuh"
RANGE, SCAN = "csrc/kernels/row_range.cuh", "csrc/kernels/warp_scan.cuh"
PRODUCTS, PRODUCT = "csrc/kernels/gemm.cpp", "csrc/kernels/gemm.h"

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
        "sm80 packed forward", ROW_RANGES, "at.m_end = range.end;", "at.m_end = tiled.gemm.m;"
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
}
