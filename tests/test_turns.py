"""Does `--turn` run every test in one of its turns, and never twice?"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from conftest import Turn

NAMES = [f"tests/test_it.py::test_planted_fault[{n}]" for n in range(3000)]


def test_every_name_has_one_turn_and_turns_are_about_alike() -> None:
    turns = [Turn.parsed(f"{number}/3") for number in range(3)]
    of = [[turn.number for turn in turns if turn.is_of(name)] for name in NAMES]
    assert all(len(numbers) == 1 for numbers in of)
    counts = Counter(numbers[0] for numbers in of)
    assert set(counts) == {0, 1, 2} and min(counts.values()) > 900


@pytest.mark.parametrize("text", ["3/3", "-1/3", "1", "1/2/3", "a/b", "0/0", ""])
def test_what_is_no_turn_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Turn.parsed(text)


def test_turns_of_a_file_are_its_tests_and_the_others_always_run() -> None:
    files = [str(Path(__file__).with_name(f"test_{name}.py")) for name in ("cpu_selftest", "turns")]
    turns = [[f"--turn={number}/2"] for number in range(2)]
    every, *some = collected([*options, *files] for options in ([], *turns))
    always = set.intersection(*some)
    others = ("test_turns.py", "test_kernels_without_a_fault_pass")
    assert always == {name for name in every if any(each in name for each in others)}
    assert set.union(*some) == every
    assert sum(len(turn - always) for turn in some) == len(every - always)


def test_all_tests_in_turn() -> None:
    every, one, other = collected(
        ["--all-in-turn", *options, __file__] for options in ([], ["--turn=0/2"], ["--turn=1/2"])
    )
    assert one and other and one | other == every and not one & other


def collected(calls: Iterable[list[str]]) -> list[set[str]]:
    """By calls of pytest with these arguments, one after another in a process of its own."""
    script = f"""
import pytest
for arguments in {list(calls)!r}:
    assert pytest.main(["-q", "--collect-only", *arguments]) == 0
    print("end")
"""
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    *parts, _ = out.split("\nend\n")
    return [{line for line in part.splitlines() if "::" in line} for part in parts]
