"""Do the parts of tools/gpu_check that are pytest's, watched or not, note each test as it was?"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

for _package in ("pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench.gpu_check.journal import Journal, Progress, Unit
from bench.gpu_check.program import Command, Ended, run_program
from bench.gpu_check.sanitizer import Sanitizer, said_by_tool
from bench.gpu_check.suite import BIG_TENSORS, EMULATORS, FUZZING_ON_CUDA, SUITE, PytestPart

ROOT = Path(__file__).parents[1]

EXAMPLE = """
import os, signal, pytest

def test_right(): pass
def test_wrong(): assert 1 == 2, "the sum"
def test_skipped(): pytest.skip("needs Hopper")
@pytest.mark.xfail(strict=True)
def test_known(): assert False
@pytest.fixture
def broken(): raise OSError("no such fixture")
def test_of_a_fixture(broken): pass
def test_ends_the_process(): os.kill(os.getpid(), signal.SIGKILL)
def test_behind_it(): pass
"""


@pytest.fixture
def example(tmp_path: Path) -> PytestPart:
    """Of a folder that has nothing of this project's but the plugin."""
    (tmp_path / "test_example.py").write_text(EXAMPLE)
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--require-gpu', action='store_true')\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return PytestPart("example", "is it right?", "--rootdir", str(tmp_path), str(tmp_path))


def names(progress: Progress) -> dict[str, str]:
    return {name.rpartition("::")[2]: unit.outcome for name, unit in progress.units.items()}


def test_every_test_is_noted_also_where_one_ends_the_process(
    example: PytestPart, tmp_path: Path
) -> None:
    journal, log = Journal(tmp_path / "journal.jsonl"), tmp_path / "log"
    ended = run_program(example.command(journal.path, math.inf), 60, log)
    assert ended.status == -9
    progress = journal.read()
    assert names(progress) == {
        "test_right": "passed",
        "test_wrong": "failed",
        "test_skipped": "skipped",
        "test_known": "passed",
        "test_of_a_fixture": "failed",
    }
    text = {name.rpartition("::")[2]: unit.text or "" for name, unit in progress.units.items()}
    assert "the sum" in text["test_wrong"]
    assert text["test_skipped"] == "needs Hopper"
    assert "no such fixture" in text["test_of_a_fixture"]
    assert progress.running is not None
    assert progress.running.endswith("::test_ends_the_process")
    assert not progress.is_complete

    journal.end(Unit(name=progress.running, outcome="failed"))
    ended = run_program(example.command(journal.path, math.inf), 60, log)
    assert ended.status == 0, ended.output
    assert "1 passed, 6 deselected" in ended.output
    assert journal.read().is_complete


def test_the_time_ends_it_between_tests(example: PytestPart, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    ended = run_program(example.command(journal.path, 0.0), 60, tmp_path / "log")
    assert "the time is over" in ended.output
    progress = journal.read()
    assert names(progress) == {"test_right": "passed"}
    assert progress.was_stopped and not progress.is_complete


def test_the_time_ends_a_test_that_goes_on(example: PytestPart, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text("import time\ndef test_long(): time.sleep(60)\n")
    journal = Journal(tmp_path / "journal.jsonl")
    ended = run_program(example.command(journal.path, 1.0), 60, tmp_path / "log")
    assert ended.status == 2, ended.output
    progress = journal.read()
    assert progress.running is not None and progress.running.endswith("::test_long")
    assert progress.was_stopped and not progress.is_complete


def test_files_that_cannot_be_read_are_no_success(example: PytestPart, tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("import what_there_is_not")
    journal = Journal(tmp_path / "journal.jsonl")
    ended = run_program(example.command(journal.path, math.inf), 60, tmp_path / "log")
    assert "No module named 'what_there_is_not'" in ended.last_words
    assert not journal.read().is_complete


@pytest.mark.parametrize("name", ["suite", "big_tensors", "fuzzing", "memcheck"])
def test_a_gpu_is_required(name: str) -> None:
    parts = {part.name: part for part in (SUITE, BIG_TENSORS, FUZZING_ON_CUDA, memcheck())}
    command = parts[name].command(Path("journal"), 60.0)
    assert "--require-gpu" in command.arguments
    assert command.arguments[command.arguments.index("--journal-seconds") + 1] == "60.0"
    assert command.environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] == "1"


def test_every_test_belongs_to_one_part() -> None:
    for part in (BIG_TENSORS, FUZZING_ON_CUDA):
        assert f"--ignore={part.arguments[-1]}" in SUITE.arguments


def test_no_test_that_needs_a_gpu_is_left_out_with_the_emulators() -> None:
    """And none that compiles the emulator is left."""
    for path in (ROOT / "tests").glob("test_*.py"):
        source = path.read_text()
        is_left_out = any(path.match(files) for files in EMULATORS)
        # Tensors larger than the machine, and changed copies of sources, need none of it compiled.
        emulator = r"^\s*(import|from) emulat(?!or import (sparse|Mutation, mutated_tree)$)"
        imports_it = re.search(emulator, source, re.MULTILINE) is not None
        asks_for_a_gpu = re.search(r"\b(gpu|hopper|device): torch", source) is not None
        assert is_left_out == imports_it, path
        assert not (is_left_out and asks_for_a_gpu), path


# compute-sanitizer

CLEAN = """\
[compute-sanitizer] COMPUTE-SANITIZER
..[compute-sanitizer] ERROR SUMMARY: 0 errors
"""
CLEAN_OF_RACES = """\
[compute-sanitizer] COMPUTE-SANITIZER
[compute-sanitizer] RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)
"""
INVALID = """\
[compute-sanitizer] COMPUTE-SANITIZER
=========== test session starts ===========
..[compute-sanitizer] Invalid __global__ read of size 16 bytes
[compute-sanitizer]     at per_step_dense::simt::gemm+0x3440
[compute-sanitizer]
"""
INVALID_IN_WORDS = [
    "Invalid __global__ read of size 16 bytes",
    "    at per_step_dense::simt::gemm+0x3440",
]
NO_DEVICE = """\
[compute-sanitizer] COMPUTE-SANITIZER
[compute-sanitizer] Error: Target application terminated before first instrumented API call
[compute-sanitizer] Error: couldn't find exit code.
"""
UNSUPPORTED = """\
[compute-sanitizer] COMPUTE-SANITIZER
[compute-sanitizer] Device not supported. Please refer to the supported devices
[compute-sanitizer] ERROR SUMMARY: 0 errors
"""


def memcheck(tool: str | None = "compute-sanitizer") -> Sanitizer:
    return Sanitizer("memcheck", lambda: tool)


def asked(
    part: Sanitizer, *answers: Ended, seconds: float = math.inf
) -> tuple[str | None, Command]:
    """Why it refuses, and the command that was asked."""
    commands = []

    def run(command: Command, seconds: float, log: Path) -> Ended:
        commands.append(command)
        return answers[len(commands) - 1]

    return part.refusal(run, seconds, Path("log")), commands[-1]


@pytest.mark.parametrize(
    "output", [CLEAN, CLEAN_OF_RACES, f"{INVALID}[compute-sanitizer] ERROR SUMMARY: 1 error\n"]
)
def test_a_tool_that_watches_to_its_summary_is_taken(output: str) -> None:
    refusal, command = asked(memcheck(), Ended(0, output))
    assert refusal is None
    assert command.arguments[0] == "compute-sanitizer"
    assert "--tool=memcheck" in command.arguments


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (Ended(255, NO_DEVICE), "Error: Target application terminated before first instrumented"),
        (Ended(0, UNSUPPORTED), "Device not supported. Please refer to the supported devices"),
        (Ended(1, "libsanitizer-collection.so is missing"), "it ended with status 1: libsanitizer"),
        (Ended(None, ""), "it was killed for the time"),
    ],
    ids=["no_call", "device", "no_words", "hangs"],
)
def test_its_refusal_is_in_its_words(ended: Ended, words: str) -> None:
    refusal, _ = asked(memcheck(), ended)
    assert refusal is not None
    assert refusal.startswith(words)


def test_a_probe_that_the_runs_time_cuts_is_no_refusal() -> None:
    assert asked(memcheck(), Ended(None, ""), seconds=20.0)[0] is None


def test_without_the_tool() -> None:
    refusal = memcheck(None).refusal(run_program, 60, Path("log"))
    assert refusal == "compute-sanitizer was found neither on the PATH nor in a CUDA toolkit"


def judged(ended: Ended, running: str | None = None) -> list[tuple[str, str | None]] | None:
    found = memcheck().judge(ended, Progress(processes=3, running=running))
    if found is None:
        return None
    assert all(unit.outcome == "failed" for unit in found)
    return [(unit.name, unit.text) for unit in found]


@pytest.mark.parametrize("output", [CLEAN, CLEAN_OF_RACES], ids=["memory", "races"])
@pytest.mark.parametrize("status", [0, 1, None], ids=["passed", "tests_failed", "killed_behind_it"])
def test_a_clean_summary_is_no_failure(output: str, status: int | None) -> None:
    assert judged(Ended(status, output)) == []


def test_without_a_summary_nobody_knows() -> None:
    header, _, _ = CLEAN.partition("..")
    assert judged(Ended(None, header)) is None
    assert judged(Ended(None, INVALID)) is None
    assert judged(Ended(-11, header), running="a test") is None


def test_its_complaint_is_a_failure() -> None:
    output = f"{INVALID}[compute-sanitizer] ERROR SUMMARY: 1 error\n"
    ((name, text),) = judged(Ended(0, output)) or ()
    assert name == "what memcheck said of process 3"
    assert text is not None
    assert text.splitlines()[:2] == INVALID_IN_WORDS


def test_a_process_without_a_summary_is_a_failure() -> None:
    ((_, text),) = judged(Ended(-11, "[compute-sanitizer] COMPUTE-SANITIZER\n")) or ()
    assert text == "no summary: it ended by signal 11 (SIGSEGV)"


def test_hazards_that_are_only_counted_are_a_failure() -> None:
    words = "[compute-sanitizer] RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)"
    ((_, text),) = judged(Ended(0, words)) or ()
    assert text == "RACECHECK SUMMARY: 2 hazards displayed (0 errors, 2 warnings)"


def test_pytest_is_not_taken_for_the_tool() -> None:
    assert said_by_tool("========= FAILURES =========\n..[compute-sanitizer] words") == ["words"]
