"""Is the table of the gradients of windows put in its place, and are they all the same gradient?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("pydantic", reason="needs pip install '.[bench]'")

from bench import windows_gradient
from bench.generated import END


def test_the_table_is_put_between_its_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_gradient, "SIZES", ((2, 9, 3, 3, 2),))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{windows_gradient.BEGIN}\nold\n{END}\nafter\n")
    assert windows_gradient.main(["--update", str(page)]) == 0
    before, begin, _, _, header, _, row, end, after = page.read_text().splitlines()
    assert (before, begin, end, after) == ("before", windows_gradient.BEGIN, END, "after")
    assert header.count("|") == row.count("|") == 5
    assert re.fullmatch(r"\| 2, 9, 3, 3, 2 \| \d+ \| \d+ \| \d+ \|", row)


@pytest.mark.parametrize("sizes", windows_gradient.SIZES[:2])
def test_all_ways_compute_the_same_gradient(sizes: tuple[int, ...]) -> None:
    *shape, kernel_size, stride = sizes
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    ways = [way(x, kernel_size, stride) for way in windows_gradient._WAYS.values()]
    dwindows = torch.randn_like(ways[0])
    first, *others = (torch.autograd.grad(windows, x, dwindows)[0] for windows in ways)
    assert first.any()
    for other in others:
        torch.testing.assert_close(first, other)
