"""What the pictures are drawn with: colours, marks, scales, legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .. import derived
from ..derived import Bound
from ..record import Pass, Record, Row
from . import text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLORS: Final[Mapping[Bound, str]] = {
    Bound.LAUNCH: "#CC79A7",
    Bound.MEMORY: "#0072B2",
    Bound.COMPUTE: "#D55E00",
}
FLOOR_COLOR: Final = "#222222"
RIVAL_COLOR: Final = "#777777"
UNKNOWN_COLOR: Final = "#444444"
MARKERS: Final = ("o", "s", "D", "^", "v", "<", ">", "p", "h", "d", "P", "X", "*", "8")


@dataclass(frozen=True)
class Point:
    """One case in one panel."""

    row: Row
    floor: derived.Floor | None
    ours_us: float | None
    best: derived.Best | None

    @property
    def bound(self) -> Bound | None:
        """What binds it; None where a ceiling was not measured."""
        return None if self.floor is None else self.floor.bound

    @property
    def color(self) -> str:
        """Of what binds it."""
        return UNKNOWN_COLOR if self.bound is None else COLORS[self.bound]

    @property
    def place(self) -> tuple[int, float]:
        """Bound by bound, the smallest floor of each first."""
        if self.floor is None:
            return len(Bound), 0.0
        return list(Bound).index(self.floor.bound), self.floor.us


def new_figure(
    record: Record, panels: Mapping[Pass, Sequence[Row]], title: str
) -> tuple[Figure, list[Axes]]:
    """A panel a pass; the title says on what and when."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    most_rows = max(map(len, panels.values()))
    width, height = max(8.5, 7.0 * len(panels)), 2.6 + 0.33 * most_rows
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # draws to memory, needs no display
    quick = ", a quick run" if record.is_quick else ""
    machine = record.machine
    threads = f", {text.count(machine.threads, 'thread')}" if machine.device == "cpu" else ""
    figure.suptitle(
        f"{title}\n{machine.device_name}{threads}, {text.day(record)}{quick}",
        fontsize=13,
        fontweight="bold",
    )
    grid = figure.subplots(1, len(panels), squeeze=False)
    return figure, list(grid[0])


def draw_times(axes: Axes, y: int, point: Point) -> None:
    """The floor, ours and the best rival's, on the line y."""
    floor_us = None if point.floor is None else point.floor.us
    if floor_us is not None:
        axes.plot(
            floor_us, y, marker="|", markersize=13, markeredgewidth=2.5, color=FLOOR_COLOR, zorder=4
        )
    if floor_us is not None and point.ours_us is not None:
        _draw_bar(axes, y, floor_us, point.ours_us, point.color)
    if point.best is not None:
        us = point.best.timing.median_us
        axes.plot(us, y, "D", markersize=6, color=RIVAL_COLOR, markerfacecolor="white", zorder=3)
    if point.ours_us is not None:
        axes.plot(point.ours_us, y, "o", markersize=8, color=point.color, zorder=5)
    if point.ours_us is None:
        note = "not measured"
    else:
        part = None if floor_us is None else floor_us / point.ours_us
        note = "no floor" if part is None else f"reaches {text.percent(part)}"
    _note(axes, y, note)


def _draw_bar(axes: Axes, y: int, start: float, end: float, color: str) -> None:
    axes.plot(
        (start, end), (y, y), color=color, linewidth=5, alpha=0.35, solid_capstyle="butt", zorder=2
    )


def draw_ratio(axes: Axes, y: int, value: float, color: str, marker: str, is_main: bool) -> None:
    """One speed-up on the line y; the main one with a bar from 1."""
    if is_main:
        _draw_bar(axes, y, 1, value, color)
    axes.plot(
        value,
        y,
        marker=marker,
        markersize=8 if is_main else 6,
        color=color,
        markerfacecolor=color if is_main else "white",
        linestyle="none",
        zorder=4 if is_main else 5,
    )


def name_best(axes: Axes, y: int, point: Point) -> None:
    """The main speed-up in figures, and over whom."""
    if point.best is None or point.ours_us is None:
        _note(axes, y, "not measured")
        return
    ratio = text.ratio(point.best.timing.median_us / point.ours_us)
    _note(axes, y, f"{ratio} ({point.best.rival})")


def _note(axes: Axes, y: int, note: str) -> None:
    """To the right of the axes, on the row's line."""
    axes.annotate(
        note,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(5, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=8,
        color="#444444",
        annotation_clip=False,
    )


def scale_of_times(axes: Axes) -> None:
    """Logarithmic; after the marks are drawn."""
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    lowest, highest = axes.get_xlim()
    subs = (1.0, 3.0) if highest / lowest < 3000 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=30))
    _plain_ticks(axes)


def scale_of_ratios(axes: Axes, ratios: Sequence[float]) -> None:
    """From a half to two at least, so that a small difference looks small."""
    from matplotlib.ticker import FixedLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_RATIO_TICKS))
    axes.set_xlim(min(0.5, *ratios, 1) / 1.08, max(2, *ratios, 1) * 1.08)
    _plain_ticks(axes)
    axes.axvline(1, color=FLOOR_COLOR, linewidth=1.5, zorder=1)


_RATIO_TICKS: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200)


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color="#dddddd")


def finish(axes: Axes, points: Sequence[Point], rows: Sequence[Row]) -> None:
    """Names of the cases, and bands that tell what binds them."""
    axes.set_title(text.group(rows[0]), fontsize=11)
    axes.set_yticks(range(len(points)), [point.row.case for point in points], fontsize=9)
    for label, point in zip(axes.get_yticklabels(), points, strict=True):
        label.set_color(point.color)
    axes.set_ylim(len(points) - 0.5, -0.5)  # the first on top
    for y in range(1, len(points)):
        if points[y].bound is not points[y - 1].bound:
            axes.axhline(y - 0.5, color="#bbbbbb", linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def legend_of_times(figure: Figure) -> None:
    """Of the floor, ours and the best rival."""
    floor = _mark("|", FLOOR_COLOR, size=13)
    floor.set_markeredgewidth(2.5)
    rival = _mark("D", RIVAL_COLOR, face="white", size=6)
    labels = ["floor", *(f"per_step_dense, bound by {bound.value}" for bound in Bound)]
    _legend(figure, [floor, *_bounds(), rival], [*labels, "best rival"])


def legend_of_ratios(figure: Figure, epilogues: Sequence[str]) -> None:
    """Of what binds, and of the epilogues."""
    marks = [
        _mark(marker, UNKNOWN_COLOR, face="white")
        for marker, _ in zip(MARKERS, epilogues, strict=False)
    ]
    labels = [*(f"bound by {bound.value}" for bound in Bound), *epilogues[: len(marks)]]
    _legend(figure, [*_bounds(), *marks], labels)


def _bounds() -> list[Line2D]:
    return [_mark("o", COLORS[bound]) for bound in Bound]


def _mark(marker: str, color: str, face: str | None = None, size: float = 8) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D(
        [],
        [],
        marker=marker,
        markersize=size,
        color=color,
        markerfacecolor=face or color,
        linestyle="none",
    )


def _legend(figure: Figure, marks: Sequence[Line2D], labels: Sequence[str]) -> None:
    columns = 6 if figure.get_figwidth() > 12 else 3
    figure.legend(marks, labels, loc="outside lower center", ncols=columns, frameon=False)
