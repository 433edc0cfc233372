"""Do the tests that docs/guarantees.md names exist, and its tables agree with what makes them?"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from per_step_dense import _ops

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/guarantees.md"
NAMED = sorted(set(re.findall(r"`(tests/\w+\.py(?:::\w+)?)`", PAGE.read_text())))


def rows_of_tables(text: str) -> list[list[str]]:
    """Cells of those tables whose last column is "held by"; without heads."""
    rows, is_inside = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            is_inside = False
        elif line.endswith("| held by |"):
            is_inside = True
        elif is_inside and not line.startswith("| ---"):
            rows.append(line.strip("| ").split(" | "))
    return rows


@pytest.mark.parametrize("name", NAMED)
def test_a_named_test_exists(name: str) -> None:
    file, _, test = name.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert any(found.startswith("test_") for found in tests)
    assert not test or test in tests


def test_every_promise_names_what_holds_it() -> None:
    rows = rows_of_tables(PAGE.read_text())
    assert len(rows) >= 20
    for promise, *_, held_by in rows:
        assert re.search(r"`[\w./:@\- ]+`", held_by), promise


def test_the_cost_of_batch_invariance_is_up_to_date() -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    from bench import batch_invariant

    assert batch_invariant.main(["--check", str(PAGE)]) == 0
