"""The README's figures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from .. import derived
from ..cases import WINDOW_CASES, Case, cases_for
from ..record import Pass, Record, Row
from ..rivals import OURS, PADDED, UNFOLDED
from . import text
from .grid import Grid, names, numbers, to_markdown
from .layer import headline_groups
from .ragged import summary_grid
from .sections import fastest_to_call, held, overhead_ratio

PAGE: Final = "[docs/benchmarks.md](docs/benchmarks.md)"


def readme_text(records: Sequence[Record]) -> str:
    """Headlines of each machine's largest record that was not a quick run."""
    not_quick = [record for record in records if not record.is_quick]
    whole = list(_largest(not_quick, lambda record: len(record.rows)))
    parts = [line for record in whole for line in _record(record)]
    for record in _largest(not_quick, lambda record: len(record.windows)):
        parts += _windows(record)
    for record in _largest(not_quick, lambda record: len(record.ragged)):
        parts += _ragged(record)
    devices = {record.machine.device for record in whole if record.rows}
    if "cpu" not in devices:
        parts += ["Speed on a CPU: not measured.", ""]
    if "cuda" not in devices:
        parts += ["Speed on a GPU: not measured, so none is claimed.", ""]
    parts += _wrapped(f"How it is measured, and all figures: {PAGE}. `make bench` measures anew.")
    return "\n".join(parts)


def _largest(records: Sequence[Record], size: Callable[[Record], int]) -> Iterator[Record]:
    """Of each machine, the record with the most rows: the others show some of them again."""
    by_machine: dict[tuple[str, int], Record] = {}
    for record in records:
        machine = (record.machine.device_name, record.machine.threads)
        if machine not in by_machine or size(record) > size(by_machine[machine]):
            by_machine[machine] = record
    yield from by_machine.values()


def _record(record: Record) -> Iterator[str]:
    where = _where(record)
    panels = headline_groups(record.rows)
    if panels:
        yield from _wrapped(
            "Speed-up over the best rival, which is named behind it; below 1, this package is the "
            f"slower one ({_epilogue(panels)}; {where}):"
        )
        yield ""
        yield from to_markdown(_grid(record, panels, cases_for(record.machine.device)))
    sentence = _overhead(record)
    if sentence:
        yield from _wrapped(f"{sentence} (on one thread; {where}).")
        yield ""


def _windows(record: Record) -> Iterator[str]:
    """The same of windows, and what shows that they are not copied."""
    panels = headline_groups(record.windows)
    if not panels:
        return
    yield from _wrapped(
        "Speed-up of `LocallyConnected1d`, on windows of k steps, s steps apart; and what a "
        "forward holds at its peak beyond inputs and outputs, beside the size of the windows, in "
        "MB "
        f"({_epilogue(panels)}; {_where(record)}):"
    )
    yield ""
    grid = _grid(record, panels, WINDOW_CASES)
    forward = {row.case: row for row in panels.get(Pass.FORWARD, ())}
    lines = tuple((*line, *_held(forward.get(line[0]))) for line in grid.rows)
    columns = numbers("windows", "held by ours", f"by {UNFOLDED}")
    yield from to_markdown(Grid("", (*grid.columns, *columns), lines))


def _ragged(record: Record) -> Iterator[str]:
    """Of samples that differ in length: the rows that exist, and the time beside padding's."""
    panels = headline_groups(record.ragged)
    if not panels:
        return
    yield from _wrapped(
        "Samples that differ in length, packed, and padded with their lengths in any order: the "
        f"time over that of `{PADDED}`, beside the rows that exist over those of the padded batch "
        f"({_epilogue(panels)}; {_where(record)}):"
    )
    yield ""
    yield from to_markdown(summary_grid(record, panels))


def _held(row: Row | None) -> tuple[str, ...]:
    """The size of the windows, and what ours and the rival that copies them hold."""
    if row is None:
        return (_NONE,) * 3
    sizes = (derived.windows_bytes(row), held(row, OURS), held(row, UNFOLDED))
    return tuple(map(text.megabytes, sizes))


def _where(record: Record) -> str:
    machine = record.machine
    threads = f", {text.count(machine.threads, 'thread')}" if machine.device == "cpu" else ""
    return f"{machine.device_name}{threads}, {text.day(record)}, torch {machine.torch}"


def _epilogue(panels: dict[Pass, list[Row]]) -> str:
    first = next(iter(panels.values()))[0]
    return text.epilogue(first.has_bias, first.activation)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 100, break_long_words=False, break_on_hyphens=False)


def _grid(record: Record, panels: dict[Pass, list[Row]], expected: Sequence[Case]) -> Grid:
    """A row a case, a column a pass; what is expected and the record has not, too."""
    passes = dict.fromkeys((*_PASSES[record.machine.device], *panels))
    cells = {
        (row.case, row.arithmetic, computed): _cell(record, row)
        for computed, rows in panels.items()
        for row in rows
    }
    sizes = {(case.name, case.arithmetic): str(case.sizes) for case in expected}
    for rows in panels.values():
        sizes |= {(row.case, row.arithmetic): str(row.sizes) for row in rows}
    lines = tuple(
        (name, size, arithmetic, *(cells.get((name, arithmetic, p), _NONE) for p in passes))
        for (name, arithmetic), size in sizes.items()
    )
    columns = (*names("case", "B,T,I,O", "dtype"), *numbers(*(name.value for name in passes)))
    return Grid("", columns, lines)


_PASSES: Final = {"cpu": (Pass.FORWARD, Pass.BOTH), "cuda": (Pass.FORWARD, Pass.BACKWARD)}
_NONE: Final = "not measured"


def _cell(record: Record, row: Row) -> str:
    """The ratio and the rival's name."""
    clock = derived.headline_clock(record.machine)
    ratio, best = derived.speed_up(row, clock), derived.best_rival(row, clock)
    if ratio is None or best is None:
        return _NONE
    return f"{text.ratio(ratio)} ({best.rival})"


def _overhead(record: Record) -> str | None:
    """What a call costs, by pass."""
    parts = []
    for row in record.overhead:
        ratio, best = overhead_ratio(record, row), fastest_to_call(record, row, compiled=False)
        if ratio is not None and best is not None:
            parts.append(f"{row.computed.value}: {text.ratio(ratio)} times `{best.rival}`'s")
    if not parts:
        return None
    return f"A tiny call's time, over the fastest rival's: {'; '.join(parts)}"
