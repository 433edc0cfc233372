"""Two pictures of a record: how near to the floor, and how far ahead of the best rival."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .. import derived
from ..record import Layout, Pass, Record, Row
from . import text
from .layer import headline_groups
from .marks import (
    MARKERS,
    Point,
    draw_ratio,
    draw_times,
    finish,
    legend_of_ratios,
    legend_of_times,
    name_best,
    new_figure,
    scale_of_ratios,
    scale_of_times,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEYWORD: Final = "per_step_dense record SHA-256"
"""Under which a picture tells which file it shows."""


def draw(record: Record, path: Path, folder: Path) -> tuple[Path, ...]:
    """Draws both pictures of the record in ``path``; none where it has no rows of the layer.

    Returns:
        The files written: the record's name, then ``-floor.png`` and ``-speedup.png``.
    """
    if not headline_groups(record.rows):
        return ()
    digest = sha256(path)
    figures = {"floor": floor_figure(record), "speedup": speed_up_figure(record)}
    files = []
    for name, figure in figures.items():
        file = picture_path(path, name, folder)
        figure.savefig(file, dpi=110, metadata={KEYWORD: digest, "Software": None})
        files.append(file)
    return tuple(files)


def picture_path(path: Path, name: str, folder: Path) -> Path:
    """Where the record's picture goes."""
    return folder / f"{path.stem}-{name}.png"


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def floor_figure(record: Record) -> Figure:
    """For every case the floor, our time and the best rival's."""
    panels = headline_groups(record.rows)
    figure, all_axes = new_figure(record, panels, "Time of a call and the machine's floor")
    for axes, rows in zip(all_axes, panels.values(), strict=True):
        points = _points(record, rows)
        for y, point in enumerate(points):
            draw_times(axes, y, point)
        scale_of_times(axes)
        finish(axes, points, rows)
        axes.set_xlabel(f"microseconds a call ({derived.headline_clock(record.machine).value})")
    legend_of_times(figure)
    return figure


def speed_up_figure(record: Record) -> Figure:
    """The best rival's time over ours for every case and epilogue."""
    panels = headline_groups(record.rows)
    figure, all_axes = new_figure(record, panels, "Speed-up over the best rival")
    clock = derived.headline_clock(record.machine)
    epilogues = list(dict.fromkeys((row.has_bias, row.activation) for row in record.rows))
    for axes, (computed, rows) in zip(all_axes, panels.items(), strict=True):
        points = _points(record, rows)
        ratios: list[float] = []
        for y, point in enumerate(points):
            for marker, epilogue in zip(MARKERS, epilogues, strict=False):
                row = _find(record, point.row, computed, epilogue)
                value = None if row is None else derived.speed_up(row, clock)
                if value is not None:
                    draw_ratio(axes, y, value, point.color, marker, is_main=row is point.row)
                    ratios.append(value)
            name_best(axes, y, point)
        scale_of_ratios(axes, ratios)
        finish(axes, points, rows)
        axes.set_xlabel("best rival's time / ours: ours is faster right of 1")
    legend_of_ratios(figure, [text.epilogue(*epilogue) for epilogue in epilogues])
    return figure


def _points(record: Record, rows: Sequence[Row]) -> list[Point]:
    """In the order of the lines."""
    clock = derived.headline_clock(record.machine)
    points = []
    for row in rows:
        floor = derived.floor(row, record.ceilings, clock)
        ours = derived.time_of(derived.result_of(row), clock, Layout.CONTIGUOUS)
        us = None if ours is None else ours.median_us
        points.append(Point(row, floor, us, derived.best_rival(row, clock)))
    return sorted(points, key=lambda point: point.place)


def _find(
    record: Record, like: Row, computed: Pass, epilogue: tuple[bool, str | None]
) -> Row | None:
    wanted = (like.case, like.arithmetic, computed, *epilogue)
    return next((row for row in record.rows if row.key == wanted), None)
