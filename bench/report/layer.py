"""Tables of the layer's rows: the headline, and every rival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from .. import derived
from ..cases import CASES, Case, cases_for
from ..record import Clock, Layout, Outcome, Pass, Record, RivalResult, Row
from ..rivals import OURS
from . import text
from .grid import Grid, names, numbers, speed_up
from .reasons import missing_cases, unmeasured

Group = tuple[Pass, bool, str | None]
View = tuple[Clock, Layout]


def groups(rows: Sequence[Row]) -> dict[Group, list[Row]]:
    """Rows that differ in the case alone, pass by pass."""
    grouped: dict[Group, list[Row]] = {}
    for computed in Pass:
        for row in rows:
            if row.computed is computed:
                grouped.setdefault((computed, row.has_bias, row.activation), []).append(row)
    return grouped


def headline_groups(rows: Sequence[Row]) -> dict[Pass, list[Row]]:
    """By pass: with a bias and no activation where that was measured, else the first group."""
    chosen: dict[Pass, tuple[Group, list[Row]]] = {}
    for key, group in groups(rows).items():
        computed, *epilogue = key
        if computed not in chosen or epilogue == [True, None]:
            chosen[computed] = (key, group)
    return {computed: group for computed, (_, group) in chosen.items()}


def views(record: Record, rows: Sequence[Row]) -> list[View]:
    """The clocks and layouts that any rival was measured by, the headline's first."""
    measured = {
        (measurement.clock, measurement.layout)
        for row in rows
        for result in row.results
        for measurement in result.measurements
    }
    headline = derived.headline_clock(record.machine)
    every = [(clock, layout) for clock in Clock for layout in Layout]
    return sorted(
        (view for view in every if view in measured), key=lambda view: view[0] is not headline
    )


def headline_grid(
    record: Record, rows: Sequence[Row], expected: Sequence[Case] | None = None
) -> Grid:
    """A row a case: our time, how near to the floor, how far from the best rival.

    Args:
        record: with the machine.
        rows: one group's.
        expected: the cases that get a note where they are missing; the device's unless given.
    """
    if expected is None:
        expected = cases_for(record.machine.device)
    clock = derived.headline_clock(record.machine)
    flop_unit, flop_scale = ("TFLOP/s", 1e3) if record.machine.device == "cuda" else ("GFLOP/s", 1)
    others = [view for view in views(record, rows) if view != (clock, Layout.CONTIGUOUS)]
    cells = [
        (
            row.case,
            str(row.sizes),
            row.arithmetic,
            *_our_cells(record, row, clock, flop_scale),
            *_best_cells(row, clock),
            *(speed_up(derived.speed_up(row, *view)) for view in others),
        )
        for row in rows
    ]
    columns = (
        *names("case", "B,T,I,O", "dtype", "kernel"),
        *numbers("us", flop_unit, "GB/s", "floor / time"),
        *names("bound by", "best rival"),
        *numbers("its us", "speed-up", *(_short(*view, clock) for view in others)),
    )
    notes = (*unmeasured(rows), *missing_cases(expected, rows))
    return Grid(text.group(rows[0]), columns, tuple(cells), notes)


def matrix(
    title: str,
    rows: Sequence[Row],
    cell: Callable[[Row, RivalResult], str],
    label: Callable[[Row], str],
) -> Grid:
    """A labelled line a row and a column a rival."""
    rivals = rivals_of(rows)
    lines = []
    for row in rows:
        results = {result.rival: result for result in row.results}
        shown = (cell(row, results[name]) if name in results else text.NOTHING for name in rivals)
        lines.append((label(row), *shown))
    return Grid(title, (*names(""), *numbers(*rivals)), tuple(lines))


def time_matrices(record: Record, rows: Sequence[Row], by_pass: bool = False) -> list[Grid]:
    """Every rival's time, and over ours: a table for each clock and layout."""
    label = _pass_of if by_pass else label_of
    return [
        matrix(f"{text.clock(*view)}: us (times ours)", rows, partial(_time_cell, view), label)
        for view in views(record, rows)
    ]


def rivals_grid(record: Record, row: Row) -> Grid:
    """A row a rival: its times, their ratios to ours, its memory, or why there are none."""
    shown = views(record, [row])
    lines = []
    for result in row.results:
        times = (_time_cell(view, row, result) for view in shown)
        error = text.NOTHING if result.error is None else f"{result.error:.2f}"
        reason = "" if result.outcome is Outcome.MEASURED else result.reason or "no reason given"
        lines.append((result.rival, *times, text.memory(result.memory), error, reason))
    columns = (
        *names("rival"),
        *numbers(*(f"{text.clock(*view)}: us (times ours)" for view in shown)),
        *numbers("peak / tensors", "error / allowed"),
        *names("why not"),
    )
    title = f"{row.case} {row.sizes} {row.arithmetic}, {text.group(row)}"
    return Grid(title, columns, tuple(lines))


def rivals_of(rows: Sequence[Row]) -> list[str]:
    """All names, in the order of the rows."""
    return list(dict.fromkeys(result.rival for row in rows for result in row.results))


def label_of(row: Row) -> str:
    """The case, and its dtype where that is not the case's own."""
    own = {case.arithmetic for case in CASES if case.name == row.case}
    return row.case if row.arithmetic in own else f"{row.case} ({row.arithmetic})"


def _pass_of(row: Row) -> str:
    return str(row.computed.value)


def _our_cells(record: Record, row: Row, clock: Clock, flop_scale: float) -> tuple[str, ...]:
    ours = derived.result_of(row)
    timing = derived.time_of(ours, clock, Layout.CONTIGUOUS)
    floor = derived.floor(row, record.ceilings, clock)
    bound = text.NOTHING if floor is None else floor.bound.value
    kernel = (ours.kernel if ours else None) or text.NOTHING
    if timing is None:
        state = ours.outcome.value if ours and ours.outcome is not Outcome.MEASURED else "not timed"
        return (kernel, state, *[text.NOTHING] * 3, bound)
    return (
        kernel,
        text.time(timing),
        text.number(derived.gflop_per_s(row, timing) / flop_scale),
        text.number(derived.gb_per_s(row, timing)),
        text.percent(None if floor is None else floor.us / timing.median_us),
        bound,
    )


def _best_cells(row: Row, clock: Clock) -> tuple[str, ...]:
    best = derived.best_rival(row, clock)
    if best is None:
        return "none", text.NOTHING, text.NOTHING
    return best.rival, text.time(best.timing), speed_up(derived.speed_up(row, clock))


def _time_cell(view: View, row: Row, result: RivalResult) -> str:
    if result.outcome is not Outcome.MEASURED:
        return str(result.outcome.value)
    timing = derived.time_of(result, *view)
    if timing is None:
        return text.NOTHING
    ours = derived.time_of(derived.result_of(row), *view)
    if ours is None or result.rival == OURS:
        return text.time(timing)
    return f"{text.time(timing)} ({text.ratio(timing.median_us / ours.median_us)})"


def _short(clock: Clock, layout: Layout, headline: Clock) -> str:
    """The heading of a further speed-up."""
    if clock is headline:
        return layout.value
    return text.clock(clock, layout)
