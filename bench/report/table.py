"""All tables of a record, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from ..cases import WINDOW_CASES
from ..record import Record
from . import text
from .grid import Grid, show
from .layer import groups, headline_grid, rivals_grid
from .ragged import ratios_grid, work_grid
from .sections import memory_grid, overhead_grid, training_grid, windows_memory_grid


def print_record(record: Record, console: Console, with_all_rivals: bool = False) -> None:
    """The machine, then every table with what was not measured below it."""
    for label, value in text.machine_lines(record):
        console.print(Text(f"{label + ':':<20}{value}"), soft_wrap=True)
    for grid in grids(record, with_all_rivals):
        show(grid, console)
    absent = [
        name
        for name, rows in (
            ("the layer", record.rows),
            ("a call's overhead", record.overhead),
            ("training", record.training),
            ("windows of steps", record.windows),
            ("ragged rows", record.ragged),
        )
        if not rows
    ]
    if absent:
        console.print(Text(f"\nnot measured in this record: {', '.join(absent)}"), soft_wrap=True)


def grids(record: Record, with_all_rivals: bool) -> Iterator[Grid]:
    """In the order in which they are printed."""
    grouped = groups(record.rows)
    for rows in grouped.values():
        yield headline_grid(record, rows)
        if with_all_rivals:
            yield from (rivals_grid(record, row) for row in rows)
    yield from (memory_grid(rows) for rows in grouped.values())
    if record.overhead:
        yield overhead_grid(record)
        if with_all_rivals:
            yield from (rivals_grid(record, row) for row in record.overhead)
    if record.training:
        yield training_grid(record)
    for rows in groups(record.windows).values():
        yield headline_grid(record, rows, WINDOW_CASES)
        yield windows_memory_grid(rows)
        if with_all_rivals:
            yield from (rivals_grid(record, row) for row in rows)
    for rows in groups(record.ragged).values():
        yield work_grid(rows)
        yield ratios_grid(record, rows)
        if with_all_rivals:
            yield from (rivals_grid(record, row) for row in rows)
