"""Does the examples' page have what they print, and nothing of it by hand?"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("pydantic") is None:
    pytest.skip("needs pip install '.[bench]'", allow_module_level=True)

from bench import examples
from bench.generated import END, begin_marker

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "examples.md"


def block_of(page: str, name: str) -> str:
    return page.split(begin_marker(f"python -m bench.examples, {name}"))[1].split(END)[0]


def test_the_page_gets_what_each_example_prints() -> None:
    before = PAGE.read_text()
    after = examples.updated(before, lambda name: f"what {name} says  \n\nand more\n")
    for name in examples.NAMES:
        assert f"```text\nwhat {name} says\n\nand more\n```" in block_of(after, name)
        before = before.replace(block_of(before, name), "")
        after = after.replace(block_of(after, name), "")
    assert after == before


def test_the_page_has_an_output_of_each() -> None:
    page = PAGE.read_text()
    for name in examples.NAMES:
        assert f"picture: {name}.png" in block_of(page, name)
