"""Tables of samples that differ in length: the work saved, and each time beside padding's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from .. import derived
from ..cases import ragged_cases_for
from ..record import Clock, Layout, Outcome, Pass, Record, RivalResult, Row
from ..rivals import ANY_ORDER, OURS, PADDED
from . import text
from .grid import Grid, names, numbers
from .layer import label_of, matrix
from .reasons import missing_cases, unmeasured


def work_grid(rows: Sequence[Row]) -> Grid:
    """A row a case: the rows that exist, of those of the padded batch, and the products of both."""
    lines = tuple(
        (
            label_of(row),
            str(row.sizes),
            row.arithmetic,
            str(row.sizes.real_rows),
            str(row.sizes.padded_rows),
            text.percent(derived.share_of_rows(row)),
            text.number(derived.flops(row) / 1e9),
            text.number(derived.padded_flops(row) / 1e9),
            text.percent(1 - derived.share_of_rows(row)),
        )
        for row in rows
    )
    columns = (
        *names("case", "B,T,I,O", "dtype"),
        *numbers("rows", "padded", "rows / padded", "GFLOP", "padded GFLOP", "work saved"),
    )
    return Grid(f"work: {text.group(rows[0])}", columns, lines)


def ratios_grid(record: Record, rows: Sequence[Row]) -> Grid:
    """A row a case and a column a rival: its time over that of padding and a mask."""
    clock = derived.headline_clock(record.machine)
    title = f"{text.clock(clock, Layout.CONTIGUOUS)}: time over that of {PADDED}"
    grid = matrix(title, rows, partial(_ratio_cell, clock), label_of)
    lines = tuple(
        (label, text.percent(derived.share_of_rows(row)), *ratios)
        for row, (label, *ratios) in zip(rows, grid.rows, strict=True)
    )
    case, *rivals = grid.columns
    expected = ragged_cases_for(record.machine.device)
    notes = (*unmeasured(rows), *missing_cases(expected, rows))
    return Grid(title, (case, *numbers("rows / padded"), *rivals), lines, notes)


def summary_grid(record: Record, panels: Mapping[Pass, Sequence[Row]]) -> Grid:
    """A row a case, two columns a pass: packed, and padded with lengths in any order."""
    clock = derived.headline_clock(record.machine)
    ratios: dict[tuple[str, ...], list[str]] = {}
    for rows in panels.values():
        for row in rows:
            share = text.percent(derived.share_of_rows(row))
            cells = ratios.setdefault((row.case, str(row.sizes), row.arithmetic, share), [])
            cells += (text.ratio(over_padding(row, name, clock)) for name in (OURS, ANY_ORDER))
    passes = [f"{computed.value}, {how}" for computed in panels for how in ("packed", "any order")]
    columns = (*names("case", "B,T,I,O", "dtype"), *numbers("rows / padded", *passes))
    return Grid("", columns, tuple((*case, *cells) for case, cells in ratios.items()))


def over_padding(row: Row, name: str, clock: Clock) -> float | None:
    """A rival's time over padding's; None where either is missing."""
    return _over_padding(row, derived.result_of(row, name), clock)


def _over_padding(row: Row, result: RivalResult | None, clock: Clock) -> float | None:
    timing = derived.time_of(result, clock, Layout.CONTIGUOUS)
    padded = derived.time_of(derived.result_of(row, PADDED), clock, Layout.CONTIGUOUS)
    return None if timing is None or padded is None else timing.median_us / padded.median_us


def _ratio_cell(clock: Clock, row: Row, result: RivalResult) -> str:
    if result.outcome is not Outcome.MEASURED:
        return str(result.outcome.value)
    return text.ratio(_over_padding(row, result, clock))
