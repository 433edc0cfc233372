"""Is the table of converted layers put in its place, and does each pair compute the same?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("pydantic", reason="needs pip install '.[bench]'")
pytest.importorskip("tabm", reason="needs pip install '.[interop]'")

from bench import converted
from bench.generated import END

SIZES = (4, 5, 3, 2)
KINDS = 4 + len(converted.LENGTHS)


def test_the_table_is_put_between_its_markers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converted, "SIZES", (SIZES,))
    page = tmp_path / "page.md"
    page.write_text(f"before\n{converted.BEGIN}\nold\n{END}\nafter\n")
    assert converted.main(["--update", str(page)]) == 0
    before, begin, _, _, header, _, *rows, end, after = page.read_text().splitlines()
    assert (before, begin, end, after) == ("before", converted.BEGIN, END, "after")
    assert header == "| layer | B, T, I, O | forward | forward+backward |" and len(rows) == KINDS
    for row in rows:
        assert re.fullmatch(r"\| [^|]+ \| 4, 5, 3, 2 \| \d+\.\d\d \| \d+\.\d\d \|", row)


def test_both_of_a_pair_compute_the_same() -> None:
    names = []
    for name, (layer, ours, x) in converted.pairs(*SIZES):
        y = layer(x)
        assert y.std() > 0
        torch.testing.assert_close(ours(x), y, rtol=1e-4, atol=1e-5)
        names.append(name)
    assert len(names) == len(set(names)) == KINDS
