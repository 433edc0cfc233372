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
    def collected(*options: str) -> list[str]:
        files = [
            f"{Path(__file__).parent}/{name}" for name in ("test_cpu_selftest.py", "test_turns.py")
        ]
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *options, *files]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [line for line in out.splitlines() if "::" in line]

    turns = [set(collected(f"--turn={number}/2")) for number in range(2)]
    always = set.intersection(*turns)
    others = ("test_turns.py", "test_kernels_without_a_fault_pass")
    assert always == {name for name in turns[0] if any(each in name for each in others)}
    assert sorted(set.union(*turns)) == sorted(collected())
    assert sum(len(turn - always) for turn in turns) == len(set.union(*turns) - always)
