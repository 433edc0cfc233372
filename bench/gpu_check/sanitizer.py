"""compute-sanitizer watches every kernel that was compiled: a part for each of its tools."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from .journal import Progress, Unit
from .program import Command, Ended, Runner
from .suite import ENVIRONMENT, PytestPart

EVERY_TILE: Final = "tests/test_every_tile.py"

QUESTIONS: Final = {
    "memcheck": "does a kernel read or write outside its tensors?",
    "racecheck": "do threads of a block race for shared memory?",
    "synccheck": "is every barrier met by the threads that it waits for?",
    "initcheck": "does a kernel read memory that nothing has written?",
}

PREFIX: Final = "[compute-sanitizer]"  # its own is also what pytest rules its output with
OPTIONS: Final = (
    f"--prefix={PREFIX}",
    "--check-exit-code=no",  # the tests' failures are in the journal
    "--show-backtrace=device",
    "--kernel-name=kns=per_step_dense",  # not cuBLAS's, which the tests call as well
)
OPTIONS_OF: Final[dict[str, tuple[str, ...]]] = {
    "memcheck": ("--report-api-errors=no", "--padding=4096"),  # torch asks what is not there
}

PROBE: Final = """\
import torch, per_step_dense as psd
x, weight = torch.ones(2, 3, 4, device="cuda"), torch.ones(3, 4, 5, device="cuda")
assert psd.per_step_dense(x, weight).sum().item() == 120
"""
PROBE_SECONDS: Final = 300.0
REFUSALS: Final = re.compile(r"not supported|unsupported|internal sanitizer error", re.IGNORECASE)

_SUMMARY: Final = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)")
_NO_REPORT: Final = re.compile(r"\s*$|COMPUTE-SANITIZER|\w+ SUMMARY:|Warning")
_MOST_LINES: Final = 40  # of reports that are kept


def find_tool() -> str | None:
    """compute-sanitizer, on the PATH or of the CUDA toolkit: PyPI's lacks what it launches with."""
    toolkit = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    folders = [*os.get_exec_path(), f"{toolkit}/bin"]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(folders))


class Sanitizer(PytestPart):
    """One tool, over one test a kernel and pass."""

    def __init__(self, tool: str, find: Callable[[], str | None] = find_tool) -> None:
        super().__init__(tool, QUESTIONS[tool], EVERY_TILE)
        self._find = find

    def command(self, journal: Path, seconds: float) -> Command:
        """The tests', watched. torch asks for each tensor's memory by itself, so that the end of a
        tensor is an end of memory.
        """
        tests = super().command(journal, seconds)
        return self._watched(tests.arguments, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})

    def refusal(self, run: Runner, seconds: float, log: Path) -> str | None:
        """Where there is no such tool, or it does not watch one call through to its summary."""
        if self._find() is None:
            return "compute-sanitizer was found neither on the PATH nor in a CUDA toolkit"
        ended = run(self._watched((sys.executable, "-c", PROBE)), min(seconds, PROBE_SECONDS), log)
        if ended.status is None and seconds <= PROBE_SECONDS:
            return None  # the time of the whole run is over, and a later one asks again
        words = said_by_tool(ended.output)
        if _summaries(words) and not any(REFUSALS.search(word) for word in words):
            return None
        return "\n".join(_reports(words)) or f"it {ended.how}: {ended.last_words}"

    def judge(self, ended: Ended, progress: Progress) -> Sequence[Unit] | None:
        """By the summary: the tool does not tell pytest, whose tests pass. Without one, as of a
        process that was killed, nobody knows what it would have said.
        """
        words = said_by_tool(ended.output)
        summaries, reports = _summaries(words), _reports(words)
        if summaries and not any(summaries):
            return ()
        if not summaries and (ended.status is None or progress.running is not None):
            return None
        told = [*reports[:_MOST_LINES], *filter(_SUMMARY.match, words)]
        text = "\n".join(told) or f"no summary: it {ended.how}"
        name = f"what {self.name} said of process {progress.processes}"
        return [Unit(name=name, outcome="failed", text=text)]

    def _watched(
        self, arguments: Sequence[str], environment: dict[str, str] | None = None
    ) -> Command:
        program = self._find()
        assert program is not None
        options = (f"--tool={self.name}", *OPTIONS, *OPTIONS_OF.get(self.name, ()))
        return Command((program, *options, *arguments), {**ENVIRONMENT, **(environment or {})})


def said_by_tool(output: str) -> list[str]:
    """Its lines, without the prefix: also behind the dots of pytest."""
    found = (line.partition(PREFIX) for line in output.splitlines())
    return [said.removeprefix(" ") for _, prefix, said in found if prefix]


def _summaries(words: Sequence[str]) -> list[int]:
    return [int(found[1]) for found in map(_SUMMARY.match, words) if found]


def _reports(words: Sequence[str]) -> list[str]:
    return [word for word in words if not _NO_REPORT.match(word)]


SANITIZERS: Final = tuple(Sanitizer(tool) for tool in QUESTIONS)
