"""Do the pictures show what the record says?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from bench_records import (
    OURS,
    cpu_record,
    cuda_record,
    failed,
    machine,
    measured,
    row,
)
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from bench.derived import Bound
from bench.record import Outcome, Pass, Record, write
from bench.report import marks as marks_of
from bench.report import page, plots
from bench.report.layer import headline_groups

pytestmark = pytest.mark.slow  # pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def notes(axes: Axes) -> list[str]:
    return [annotation.get_text() for annotation in axes.texts]


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Where such marks are: (x, the number of the line)."""
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker
    ]


def pixels_of(color: str, picture: Path) -> int:
    """How many there are, the legend's and the labels' left aside."""
    pixels = torch.tensor(imread(picture))[..., :3]  # (height, width, 3)
    height, width = pixels.shape[:2]
    panel = pixels[: int(0.9 * height), int(0.1 * width) : int(0.42 * width)]
    near = (panel - torch.tensor(to_rgb(color))).abs().amax(dim=-1) < 0.02
    return int(near.sum())


def drawn(record: Record, folder: Path) -> tuple[Path, ...]:
    path = folder / "mine.json"
    write(record, path)
    return plots.draw(record, path, folder)


def test_two_pictures_that_tell_whose_they_are(tmp_path: Path) -> None:
    floor, speed_up = drawn(cuda_record(), tmp_path)
    assert (floor.name, speed_up.name) == ("mine-floor.png", "mine-speedup.png")
    digest = plots.sha256(tmp_path / "mine.json")
    assert re.fullmatch("[0-9a-f]{64}", digest)
    for picture in (floor, speed_up):
        assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert page.shown_by(picture) == digest
        height, width = imread(picture).shape[:2]
        assert height >= 800 and width >= 1200


def test_every_bound_has_its_colour(tmp_path: Path) -> None:
    assert len(set(marks_of.COLORS.values())) == len(Bound) == len(marks_of.COLORS)
    for picture in drawn(cuda_record(), tmp_path):
        for bound, color in marks_of.COLORS.items():
            found = pixels_of(color, picture)
            assert found > 40, f"{picture.name}, {bound}: only {found} pixels of its colour"
    assert pixels_of(marks_of.FLOOR_COLOR, tmp_path / "mine-floor.png") > 500


def test_a_bound_that_does_not_occur_is_not_drawn(tmp_path: Path) -> None:
    for picture in drawn(cpu_record(), tmp_path):
        assert pixels_of(marks_of.COLORS[Bound.LAUNCH], picture) > 40  # forward, on the left
        assert pixels_of(marks_of.COLORS[Bound.COMPUTE], picture) == 0


def test_marks_of_the_floor_figure() -> None:
    figure = plots.floor_figure(cpu_record())
    title = figure.get_suptitle()
    assert "Abacus 9000, 2 threads, 2026-03-04" in title and "quick" not in title
    forward, both = figure.axes
    assert (forward.get_title(), both.get_title()) == ("forward, bias", "forward+backward, bias")
    assert forward.get_xscale() == "log"
    assert marks(forward, "|") == [(1.0, 0.0)]
    assert marks(forward, "o") == [(10.0, 0.0)]
    assert marks(forward, "D") == [(12.0, 0.0)]
    assert notes(forward) == ["reaches 10 %"]
    assert marks(both, "o") == [(30.0, 0.0)]


def test_marks_of_the_speed_up_figure_and_its_line_at_1() -> None:
    figure = plots.speed_up_figure(cpu_record())
    for axes in figure.axes:
        assert marks(axes, "o") == [(pytest.approx(1.2), 0.0)]
        assert notes(axes) == ["1.20 (baddbmm)"]
        assert [1, 1] in [list(line.get_xdata()) for line in axes.lines]
        lowest, highest = axes.get_xlim()
        assert lowest < 0.5 and highest > 2


def test_cases_are_in_order_of_what_binds_them() -> None:
    forward, _ = plots.floor_figure(cuda_record()).axes
    labels = forward.get_yticklabels()
    assert len(labels) == 24
    order = [list(marks_of.COLORS.values()).index(label.get_color()) for label in labels]
    assert order == sorted(order) and set(order) == {0, 1, 2}
    assert labels[0].get_text() == "seed" and labels[-1].get_text() == "compute"


def test_other_epilogues_are_marks_on_the_same_line() -> None:
    rows = [
        row([measured(OURS, 10.0), measured("einsum", us)], has_bias=bias, activation=activation)
        for us, bias, activation in ((20.0, True, "gelu"), (12.0, True, None), (8.0, False, None))
    ]
    (axes,) = plots.speed_up_figure(cpu_record(rows=tuple(rows))).axes
    assert axes.get_title() == "forward, bias"
    found = [marks(axes, marker) for marker in ("o", "s", "D")]
    assert found == [[(2.0, 0.0)], [(1.2, 0.0)], [(0.8, 0.0)]]
    assert notes(axes) == ["1.20 (einsum)"]


@pytest.mark.parametrize("missing", [OURS, "einsum"])
def test_what_was_not_measured_says_so(missing: str) -> None:
    left = "einsum" if missing == OURS else OURS
    rows = (row([failed(missing, Outcome.FAILED, "no"), measured(left, 10.0)]),)
    (axes,) = plots.speed_up_figure(cpu_record(rows=rows)).axes
    assert notes(axes) == ["not measured"]
    (axes,) = plots.floor_figure(cpu_record(rows=rows)).axes
    assert notes(axes) == (["not measured"] if missing == OURS else ["reaches 10 %"])


def test_a_case_without_a_floor_is_drawn(tmp_path: Path) -> None:
    results = [measured(OURS, 10.0), measured("einsum", 20.0)]
    record = cpu_record(rows=(row(results, arithmetic="float64"),))
    assert len(drawn(record, tmp_path)) == 2
    (axes,) = plots.floor_figure(record).axes
    assert notes(axes) == ["no floor"]
    assert marks(axes, "o") == [(10.0, 0.0)] and marks(axes, "|") == []


def test_a_quick_run_is_called_one_and_no_rows_make_no_picture(tmp_path: Path) -> None:
    assert "a quick run" in plots.floor_figure(cpu_record(is_quick=True)).get_suptitle()
    assert drawn(cpu_record(rows=()), tmp_path) == ()


def test_the_same_record_makes_the_same_picture(tmp_path: Path) -> None:
    first = [picture.read_bytes() for picture in drawn(cpu_record(), tmp_path)]
    assert first == [picture.read_bytes() for picture in drawn(cpu_record(), tmp_path)]
    other = drawn(cpu_record(machine=machine(threads=3)), tmp_path)
    assert all(picture.read_bytes() not in first for picture in other)


def test_the_headline_has_a_bias_and_no_activation_where_that_was_measured() -> None:
    with_gelu = row([], activation="gelu")
    plain, both = row([]), row([], computed=Pass.BOTH, has_bias=False)
    chosen = headline_groups([with_gelu, plain, both])
    assert chosen == {Pass.FORWARD: [plain], Pass.BOTH: [both]}
