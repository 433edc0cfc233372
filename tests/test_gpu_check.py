"""Does tools/gpu_check go on where it was cut, and record what became of every part?

Without a GPU: the processes that do the parts are played by what notes in the journal what they
would have, on a clock that nothing but they moves. Long, for all of it is told by these players.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

for _package in ("pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench_records import machine

from bench.gpu_check import command, state
from bench.gpu_check.journal import Journal, Progress, Unit
from bench.gpu_check.part import Part, seconds_option
from bench.gpu_check.program import Command, Ended, Runner, run_program
from bench.gpu_check.record import GpuCheckRecord, Outcome, PartResult, last_record
from bench.gpu_check.run import MOST_PROCESSES
from bench.gpu_check.state import digest_of_sources
from bench.record import Machine
from per_step_dense import _ops

ROOT = Path(__file__).parents[1]
GPU = machine("cuda")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Played(Part):
    """A part of units that all pass and take a second each, unless told otherwise."""

    def __init__(self, name: str, units: Sequence[str] = ("a", "b", "c"), **told: object) -> None:
        self.name, self.question, self.units = name, f"is {name} right?", units
        self.failing: Collection[str] = told.get("failing", ())
        self.crashing: Collection[str] = told.get("crashing", ())
        self.hanging: Collection[str] = told.get("hanging", ())
        self.leaving: Collection[str] = told.get("leaving", ())
        self.interrupted: Collection[str] = told.get("interrupted", ())
        self.refused: str | None = told.get("refused")
        self.says: str = told.get("says", "")
        self.is_watched: bool = told.get("is_watched", False)

    def command(self, journal: Path, seconds: float) -> Command:
        return Command((self.name, str(journal), *seconds_option("", seconds)))

    def refusal(self, run: Runner, seconds: float, log: Path) -> str | None:
        return self.refused

    def judge(self, ended: Ended, progress: Progress) -> Sequence[Unit] | None:
        if self.is_watched and ended.status is None:
            return None
        said = Unit(name="beside the units", outcome="failed", text=self.says)
        return [said] if self.says else []


class Player:
    """Runs such parts; interrupted before a unit, where that is asked for."""

    def __init__(self, clock: Clock, *parts: Played) -> None:
        self.clock = clock
        self.parts = {part.name: part for part in parts}
        self.done: list[str] = []
        self.interrupt_at: str | None = None
        self.interrupt: Callable[[], object] = self.press_control_c

    def press_control_c(self) -> None:
        raise KeyboardInterrupt

    def __call__(self, command: Command, seconds: float, log: Path) -> Ended:
        name, path, *limit = command.arguments
        part, journal = self.parts[name], Journal(Path(path))
        end = self.clock.now + (float(limit[-1]) if limit else math.inf)
        known = journal.read().units
        for unit in (unit for unit in part.units if unit not in known):
            if self.clock.now >= end:
                journal.stop()
                return Ended(0, "")
            journal.start(unit)
            if f"{name} {unit}" == self.interrupt_at:
                self.interrupt()
            if unit in part.hanging:
                self.clock.now += seconds
                return Ended(None, "")
            if unit in part.interrupted:  # by its own process, a little behind the limit
                self.clock.now = end + 1
                journal.stop()
                return Ended(2, "")
            self.clock.now += 1
            self.done.append(f"{name} {unit}")
            if unit in part.crashing:
                return Ended(-11, "its last words")
            outcome = "failed" if unit in part.failing else "passed"
            journal.end(Unit(name=unit, outcome=outcome, text="said so"))
            if unit in part.leaving:
                return Ended(2, "")
        journal.complete()
        return Ended(0, "")


class Checked:
    """The command, on a GPU that is not there."""

    def __init__(self, folder: Path, *parts: Played) -> None:
        self.folder, self.parts = folder, parts
        self.clock = Clock()
        self.player = Player(self.clock, *parts)

    def __call__(self, *options: str) -> int:
        folders = ["--state", str(self.folder / "state"), "--results", str(self.folder / "results")]
        return command.main(
            [*options, *folders], parts=self.parts, runner=self.player, clock=self.clock
        )

    @property
    def record(self) -> GpuCheckRecord:
        record = last_record(self.folder / "results")
        assert record is not None
        return record

    def __getitem__(self, part: str) -> PartResult:
        return next(result for result in self.record.parts if result.part == part)


Check = Callable[..., Checked]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    pretend(monkeypatch)
    return lambda *parts: Checked(tmp_path, *parts)


def pretend(monkeypatch: pytest.MonkeyPatch, **changed: object) -> None:
    """That there is a GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(_ops, "has_cuda_kernels", True)
    described = GPU.model_copy(update=changed)
    monkeypatch.setattr(command, "describe_machine", lambda device: described)
    monkeypatch.setattr(command, "digest_of_sources", lambda: "0123456789")


# Going on


def test_all_parts_pass(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    checked = check(Played("one"), Played("two", ["x"]))
    assert checked() == command.PASSED
    assert checked.player.done == ["one a", "one b", "one c", "two x"]
    assert [part.outcome for part in checked.record.parts] == [Outcome.PASSED] * 2
    assert checked["one"].figures == {"passed": 3}
    assert checked["one"].seconds == 3
    assert checked.record.machine == GPU
    assert "one: passed in 3 s (3 passed)" in capsys.readouterr().out


def test_an_interrupted_run_goes_on_in_the_middle_of_a_part(check: Check) -> None:
    checked = check(Played("one"), Played("two"), Played("three"))
    checked.player.interrupt_at = "two b"
    assert checked() == command.INTERRUPTED
    assert checked.player.done == ["one a", "one b", "one c", "two a"]
    outcomes = [part.outcome for part in checked.record.parts]
    assert outcomes == [Outcome.PASSED, Outcome.UNFINISHED, Outcome.NOT_RUN]
    checked.player.interrupt_at = None
    checked.player.done.clear()
    assert checked() == command.PASSED
    assert checked.player.done == ["two b", "two c", "three a", "three b", "three c"]
    assert len(list((checked.folder / "results").iterdir())) == 1


def test_a_terminated_run_is_an_interrupted_one(check: Check) -> None:
    checked = check(Played("one"))
    checked.player.interrupt_at = "one b"
    checked.player.interrupt = partial(os.kill, os.getpid(), signal.SIGTERM)
    assert checked() == command.INTERRUPTED
    assert checked["one"].outcome is Outcome.UNFINISHED


def test_a_record_is_kept_after_every_part(check: Check) -> None:
    checked = check(Played("one"), Played("two"))
    seen = []
    checked.player.interrupt_at = "two a"
    checked.player.interrupt = lambda: seen.append(checked.record)
    assert checked() == command.PASSED
    assert [part.outcome for part in seen[0].parts] == [Outcome.PASSED, Outcome.NOT_RUN]


def test_the_time_limit_ends_it_between_units(check: Check) -> None:
    checked = check(Played("one", [str(number) for number in range(30)]), Played("two"))
    assert checked("--time-limit", "20") == command.UNFINISHED
    assert len(checked.player.done) == 18  # the last tenth is for ending by itself
    assert checked["one"].outcome is Outcome.UNFINISHED
    assert checked["two"].outcome is Outcome.NOT_RUN
    assert checked("--time-limit", "20") == command.PASSED
    assert len(checked.player.done) == 33
    assert checked["one"].figures == {"passed": 30}
    assert checked["one"].seconds == 30


def test_too_little_time_starts_nothing(check: Check) -> None:
    checked = check(Played("one"))
    assert checked("--time-limit", "4") == command.UNFINISHED
    assert checked.player.done == []
    assert checked["one"].outcome is Outcome.NOT_RUN


def test_what_hangs_is_killed_at_the_limit_and_fails_the_second_time(check: Check) -> None:
    checked = check(Played("one", hanging=["b"]))
    assert checked("--time-limit", "100") == command.UNFINISHED
    assert checked["one"].outcome is Outcome.UNFINISHED
    assert checked("--time-limit", "100") == command.FAILED
    assert checked["one"].failures[0].name == "b"
    assert "it did not end before the time was over, 2 times" in checked["one"].failures[0].text
    assert not checked["one"].is_over
    assert checked("--time-limit", "100") == command.FAILED
    assert checked.player.done == ["one a", "one c"]
    assert checked["one"].is_over


@pytest.mark.parametrize(
    "changed",
    [{"commit": "fedcba"}, {"device_name": "NVIDIA H100"}, {"torch": "2.12.0"}, {"cuda": "13.1"}],
    ids=lambda changed: next(iter(changed)),
)
def test_other_circumstances_start_fresh(
    check: Check, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]
) -> None:
    checked = check(Played("one"))
    assert checked() == command.PASSED
    pretend(monkeypatch, date="2026-03-04T20:00:00+00:00", **changed)
    assert checked() == command.PASSED
    assert checked.player.done == ["one a", "one b", "one c"] * 2
    assert checked.record.machine != GPU
    assert len(list((checked.folder / "results").iterdir())) == 2  # neither replaces the other


def test_other_sources_start_fresh(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = check(Played("one"))
    assert checked() == command.PASSED
    monkeypatch.setattr(command, "digest_of_sources", lambda: "9876543210")
    assert checked() == command.PASSED
    assert checked.player.done == ["one a", "one b", "one c"] * 2


def test_later_runs_keep_the_first_date(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = check(Played("one"), Played("two"))
    checked("--only", "one")
    pretend(monkeypatch, date="2026-04-02T03:04:05+00:00", is_dirty=True)
    checked()
    assert checked.record.machine == GPU
    assert [path.name for path in (checked.folder / "results").iterdir()] == [
        "2026-03-04-nvidia-abacus.json"
    ]


def test_fresh_starts_over(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = check(Played("one", ["a"]), Played("two", ["a"]))
    checked()
    pretend(monkeypatch, date="2026-04-02T03:04:05+00:00")
    checked("--fresh")
    assert checked.player.done == ["one a", "two a"] * 2
    assert checked.record.machine.date == "2026-04-02T03:04:05+00:00"


def test_only_some_parts_and_those_fresh(check: Check) -> None:
    checked = check(Played("one", ["a"]), Played("two", ["a"]))
    assert checked("--only", "two") == command.PASSED
    assert [part.outcome for part in checked.record.parts] == [Outcome.NOT_RUN, Outcome.PASSED]
    checked()
    checked("--only", "two", "--fresh")
    assert checked.player.done == ["two a", "one a", "two a"]
    assert [part.outcome for part in checked.record.parts] == [Outcome.PASSED, Outcome.PASSED]


# What goes wrong


def test_a_failure_is_recorded_and_the_rest_goes_on(
    check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = check(Played("one", failing=["b"]), Played("two", ["x"]))
    assert checked() == command.FAILED
    assert checked.player.done == ["one a", "one b", "one c", "two x"]
    assert checked["one"].outcome is Outcome.FAILED
    assert checked["one"].figures == {"passed": 2, "failed": 1}
    assert [(one.name, one.text) for one in checked["one"].failures] == [("b", "said so")]
    assert checked["two"].outcome is Outcome.PASSED
    assert "one: FAILED in 3 s (2 passed, 1 failed)\n    b: said so" in capsys.readouterr().out
    assert checked() == command.FAILED  # nothing is left, and it is still so
    assert len(checked.player.done) == 4


def test_a_refusal_is_recorded_and_the_rest_goes_on(check: Check) -> None:
    checked = check(Played("one", refused="no such device"), Played("two", ["x"]))
    assert checked() == command.PASSED
    assert checked.player.done == ["two x"]
    assert checked["one"].outcome is Outcome.REFUSED
    assert checked["one"].reason == "no such device"


def test_a_crash_fails_what_ran_and_the_rest_goes_on(check: Check) -> None:
    checked = check(Played("one", crashing=["a", "b"]))
    assert checked() == command.FAILED
    assert checked.player.done == ["one a", "one b", "one c"]
    assert checked["one"].figures == {"passed": 1, "failed": 2}
    text = checked["one"].failures[0].text
    assert "ended by signal 11 (SIGSEGV)" in text
    assert "its last words" in text


def test_processes_are_not_started_for_ever(check: Check) -> None:
    units = [str(number) for number in range(100)]
    checked = check(Played("one", units, crashing=units), Played("two"))
    assert checked() == command.FAILED
    assert checked["one"].figures == {"failed": MOST_PROCESSES}
    assert not checked["one"].is_over
    assert checked["two"].outcome is Outcome.PASSED


def test_a_process_that_leaves_its_gpu_is_followed_by_another(check: Check) -> None:
    checked = check(Played("one", failing=["a"], leaving=["a"]))
    assert checked() == command.FAILED
    assert checked["one"].figures == {"passed": 2, "failed": 1}


def test_a_process_that_does_nothing_is_a_failure(check: Check) -> None:
    checked = check(Played("one"))
    checked.player = idle
    assert checked() == command.FAILED
    assert [one.text for one in checked["one"].failures] == ["it ended with status 4\nwhy"]
    assert checked["one"].is_over


def test_what_an_earlier_process_left_running_is_not_blamed(check: Check) -> None:
    checked = check(Played("one"))
    checked.player.interrupt_at = "one b"
    checked()
    checked.player = idle
    assert checked() == command.FAILED
    assert [one.name for one in checked["one"].failures] == ["the process"]


def idle(command: Command, seconds: float, log: Path) -> Ended:
    """A process that ends before it starts anything."""
    return Ended(4, "why")


def test_what_an_output_says_fails_a_part_whose_units_pass(check: Check) -> None:
    checked = check(Played("one", says="a race"))
    assert checked() == command.FAILED
    assert [one.text for one in checked["one"].failures] == ["a race"]


def test_what_its_own_process_ends_for_the_time_is_done_again(check: Check) -> None:
    checked = check(Played("one", interrupted=["b"]))
    assert checked("--time-limit", "100") == command.UNFINISHED
    assert checked["one"].outcome is Outcome.UNFINISHED
    assert checked("--time-limit", "100") == command.FAILED
    (failure,) = checked["one"].failures
    assert failure.text == "it did not end before the time was over, 2 times"
    assert checked.player.done == ["one a"]


def test_of_a_watched_process_that_stops_for_the_time_all_counts(check: Check) -> None:
    checked = check(Played("one", [str(number) for number in range(30)], is_watched=True))
    assert checked("--time-limit", "20") == command.UNFINISHED
    assert checked("--time-limit", "20") == command.PASSED
    assert len(checked.player.done) == 30


@pytest.mark.parametrize("is_watched", [False, True])
def test_of_a_watched_process_nothing_counts_without_its_last_word(
    check: Check, is_watched: bool
) -> None:
    checked = check(Played("one", is_watched=is_watched))
    checked.player.interrupt_at = "one c"
    assert checked() == command.INTERRUPTED
    checked.player.interrupt_at = None
    checked.player.done.clear()
    assert checked() == command.PASSED
    assert checked.player.done == (["one a", "one b", "one c"] if is_watched else ["one c"])
    assert checked["one"].figures == {"passed": 3}


def test_of_a_watched_process_that_is_killed_nothing_counts(check: Check) -> None:
    checked = check(Played("one", ["a"]), Played("two", hanging=["b"], is_watched=True))
    for _ in range(2):
        assert checked("--time-limit", "100") in (command.UNFINISHED, command.FAILED)
    assert checked("--time-limit", "100") == command.FAILED
    assert checked.player.done == ["one a", "two a", "two a", "two a", "two c"]
    assert checked["two"].figures == {"passed": 2, "failed": 1}


def test_a_part_without_units_has_failed(check: Check) -> None:
    checked = check(Played("one", []))
    assert checked() == command.FAILED
    assert checked["one"].reason == "it found nothing to do"


def test_a_part_that_is_skipped_whole_is_refused() -> None:
    progress = Progress(is_complete=True)
    for name in "ab":
        progress.units[name] = Unit(name=name, outcome="skipped", text="needs 80 GB")
    result = Played("one").result(progress)
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "all 2 were skipped: needs 80 GB")


def test_without_a_gpu(
    check: Check, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    checked = check(Played("one"))
    assert checked() == command.UNUSABLE
    assert checked.player.done == []
    assert not (checked.folder / "state").exists()
    assert capsys.readouterr().err == "gpu_check: torch sees no GPU; nothing was run\n"


def test_without_kernels_for_it(
    check: Check, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_ops, "has_cuda_kernels", False)
    assert check(Played("one"))() == command.UNUSABLE
    assert "this build has no CUDA kernels" in capsys.readouterr().err


def test_the_executable_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    folders = ["--state", str(tmp_path / "state"), "--results", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "gpu_check"), *folders],
        cwd=tmp_path,
        env=hidden,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (command.UNUSABLE, "")
    assert "torch sees no GPU; nothing was run" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_part_is_there_once() -> None:
    watched = ["initcheck", "memcheck", "racecheck", "synccheck"]
    names = ["batch_invariance", "big_tensors", "determinism", "fuzzing", "soak", "suite"]
    assert sorted(part.name for part in command.PARTS) == sorted([*names, *watched])


# The journal, the state and the programs


def test_half_a_line_costs_nothing_but_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.end(Unit(name="a", outcome="passed"))
    with journal.path.open("a") as file:
        file.write('{"what":"ended","unit":{"name":"b","outc')
    journal.end(Unit(name="c", outcome="passed"))
    assert list(journal.read().units) == ["a", "c"]


def test_long_words_keep_both_ends(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.end(Unit(name="a", outcome="failed", text=f"first{'x' * 10**5}last"))
    text = journal.read().units["a"].text
    assert text is not None and len(text) < 5000
    assert text.startswith("first") and text.endswith("last")


def test_sources_are_told_apart(tmp_path: Path) -> None:
    for name in state._FOLDERS:
        (tmp_path / name).mkdir()
    (tmp_path / "csrc" / "a.cpp").write_text("1")
    digests = [digest_of_sources(tmp_path)]
    (tmp_path / "bench" / "a.json").write_text("a record is no source")
    assert digest_of_sources(tmp_path) == digests[0]
    (tmp_path / "csrc" / "a.cpp").write_text("2")
    digests.append(digest_of_sources(tmp_path))
    (tmp_path / "per_step_dense" / "_C.cpython-312.so").write_text("built anew")
    digests.append(digest_of_sources(tmp_path))
    assert len(set(digests)) == 3


def python(code: str) -> Command:
    return Command((sys.executable, "-c", code), {"SAID": "in the environment"})


def test_a_program_ends_with_its_status_and_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of another process\n")
    code = "import os, sys; print(os.environ['SAID']); sys.exit('and an error')"
    ended = run_program(python(code), 60, log)
    assert sorted(ended.output.splitlines()) == ["and an error", "in the environment"]
    assert (ended.status, ended.how) == (1, "ended with status 1")
    assert log.read_text().startswith("of another process\n")


def test_a_program_is_killed_at_the_limit_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    ended = run_program(python(code), 2, tmp_path / "log")
    assert (ended.status, ended.how) == (None, "was killed for the time")
    for _ in range(100):  # the kernel ends it a little later
        if not is_alive(int(ended.output)):
            return
        time.sleep(0.1)
    pytest.fail("what it started lives on")


def is_alive(process: int) -> bool:
    """A zombie that nobody has asked for is not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_machines_differ_in_what_the_state_goes_by(tmp_path: Path) -> None:
    def folder(described: Machine) -> Path:
        return state.open_state(tmp_path, described, "0123456789").folder

    assert folder(GPU) == folder(GPU.model_copy(update={"date": "2027", "driver": "600"}))
    assert folder(GPU) != folder(GPU.model_copy(update={"commit": None}))
