"""The README's figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from .. import derived
from ..cases import cases_for
from ..record import Pass, Record, Row
from . import text
from .grid import Grid, names, numbers, to_markdown
from .layer import headline_groups
from .sections import fastest_to_call, overhead_ratio

PAGE: Final = "[docs/benchmarks.md](docs/benchmarks.md)"


def readme_text(records: Sequence[Record]) -> str:
    """Headlines of each machine's largest record that was not a quick run."""
    whole = list(_largest([record for record in records if not record.is_quick]))
    parts = [line for record in whole for line in _record(record)]
    devices = {record.machine.device for record in whole if record.rows}
    if "cpu" not in devices:
        parts += ["Speed on a CPU: not measured.", ""]
    if "cuda" not in devices:
        parts += ["Speed on a GPU: not measured, so none is claimed.", ""]
    parts += _wrapped(f"How it is measured, and all figures: {PAGE}. `make bench` measures anew.")
    return "\n".join(parts)


def _largest(records: Sequence[Record]) -> Iterator[Record]:
    """Of each machine, the record with the most rows: the others show some of them again."""
    by_machine: dict[tuple[str, int], Record] = {}
    for record in records:
        machine = (record.machine.device_name, record.machine.threads)
        if machine not in by_machine or len(record.rows) > len(by_machine[machine].rows):
            by_machine[machine] = record
    yield from by_machine.values()


def _record(record: Record) -> Iterator[str]:
    machine = record.machine
    threads = f", {text.count(machine.threads, 'thread')}" if machine.device == "cpu" else ""
    where = f"{machine.device_name}{threads}, {text.day(record)}, torch {machine.torch}"
    panels = headline_groups(record)
    if panels:
        first = next(iter(panels.values()))[0]
        epilogue = text.epilogue(first.has_bias, first.activation)
        yield from _wrapped(
            "Speed-up over the best rival, which is named behind it; below 1, this package is the "
            f"slower one ({epilogue}; {where}):"
        )
        yield ""
        yield from to_markdown(_grid(record, panels))
    sentence = _overhead(record)
    if sentence:
        yield from _wrapped(f"{sentence} (on one thread; {where}).")
        yield ""


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 100, break_long_words=False, break_on_hyphens=False)


def _grid(record: Record, panels: dict[Pass, list[Row]]) -> Grid:
    """A row a case, a column a pass; what the device has and the record has not, too."""
    passes = dict.fromkeys((*_PASSES[record.machine.device], *panels))
    cells = {
        (row.case, row.arithmetic, computed): _cell(record, row)
        for computed, rows in panels.items()
        for row in rows
    }
    sizes = {(case.name, case.arithmetic): case.sizes for case in cases_for(record.machine.device)}
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
