"""Does `--turn` run every test in one of its turns, and never twice?"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
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
    files = [
        str(Path(__file__).with_name(name)) for name in ("test_cpu_selftest.py", "test_turns.py")
    ]
    every, *turns = collected(
        [[*options, *files] for options in ([], ["--turn=0/2"], ["--turn=1/2"])]
    )
    always = set.intersection(*turns)
    others = ("test_turns.py", "test_kernels_without_a_fault_pass")
    assert always == {name for name in every if any(each in name for each in others)}
    assert set.union(*turns) == every
    assert sum(len(turn - always) for turn in turns) == len(every - always)


def collected(calls: list[list[str]]) -> list[set[str]]:
    """By calls of pytest with these arguments, one after another in a process of its own."""
    script = f"""
import pytest
for arguments in {calls!r}:
    assert pytest.main(["-q", "--collect-only", *arguments]) == 0
    print("end")
"""
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    *parts, _ = out.split("\nend\n")
    return [{line for line in part.splitlines() if "::" in line} for part in parts]
