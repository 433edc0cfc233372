"""One part after another, each until nothing is left of it or the time is over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .journal import Journal, Progress, Unit
from .part import Part
from .program import Ended, Runner
from .record import GpuCheckRecord, PartResult
from .show import told
from .state import State

Clock = Callable[[], float]
Say = Callable[[str], None]

LEAST_SECONDS: Final = 5.0  # that a process is started with
GRACE_SHARE: Final = 0.1  # of the time, between stopping by itself and being killed;
MOST_GRACE_SECONDS: Final = 30.0  # at most so long
MOST_CUTS: Final = 2  # of the same unit
MOST_PROCESSES: Final = 20  # that a run starts for a part: a GPU may be gone for good


@dataclass(frozen=True)
class Deadline:
    """When a run has to be over."""

    clock: Clock
    at: float = math.inf

    def remaining(self) -> float:
        """Seconds; below 0 where it has passed."""
        return self.at - self.clock()


@dataclass(frozen=True)
class Checks:
    """All parts, in the order in which they are worth having: a run may be cut."""

    parts: Sequence[Part]
    state: State
    runner: Runner
    deadline: Deadline
    say: Say
    keep: Callable[[GpuCheckRecord], object]
    """Called after every part: whatever ends a run does not ask first."""

    def run(self, names: Sequence[str]) -> None:
        """Goes on with those of the parts that are not over."""
        for part in self.parts:
            if part.name in names and self.deadline.remaining() >= LEAST_SECONDS:
                if self._journal(part).read().is_over:
                    self.say(f"{told(self._result(part))} (done before)")
                    continue
                self.say(f"{part.name}: {part.question}; output in {self.state.log(part.name)}")
                self._go_on_with(part)
                self.say(told(self._result(part)))
                self.keep(self.record())

    def record(self) -> GpuCheckRecord:
        """Of all that has been done up to now, in this run and before."""
        return GpuCheckRecord(
            machine=self.state.machine, parts=tuple(self._result(part) for part in self.parts)
        )

    def _journal(self, part: Part) -> Journal:
        return self.state.journal(part.name)

    def _result(self, part: Part) -> PartResult:
        return part.result(self._journal(part).read())

    def _go_on_with(self, part: Part) -> None:
        journal, log = self._journal(part), self.state.log(part.name)
        words = part.refusal(self.runner, self.deadline.remaining(), log)
        if words is not None:
            journal.refuse(words)
            return
        if journal.read().unjudged:  # of a run that something ended
            _judge(part, journal, Ended(None, ""))
        for _ in range(MOST_PROCESSES):
            if self.deadline.remaining() < LEAST_SECONDS:
                return
            units_before = len(journal.read().units)
            ended = self._process(part, journal)
            _judge(part, journal, ended)
            progress = journal.read()
            if progress.is_complete:
                return
            if ended.status is None or progress.was_stopped:
                _note_cut(journal, progress)
                return
            if progress.running is not None:
                words = f"the process {ended.how}\n{ended.last_words}"
                journal.note(Unit(name=progress.running, outcome="failed", text=words))
            elif len(progress.units) == units_before:
                words = f"it {ended.how}\n{ended.last_words}"
                journal.note(Unit(name="the process", outcome="failed", text=words))
                journal.complete()
                return
            # Otherwise it left on purpose, from a GPU that no longer answers it: the next goes on.

    def _process(self, part: Part, journal: Journal) -> Ended:
        seconds = self.deadline.remaining()
        grace = min(MOST_GRACE_SECONDS, GRACE_SHARE * seconds)
        command = part.command(journal.path, math.inf if math.isinf(seconds) else seconds - grace)
        journal.begin_process()
        start = self.deadline.clock()
        try:
            return self.runner(command, seconds, self.state.log(part.name))
        finally:
            journal.leave(self.deadline.clock() - start)


def _judge(part: Part, journal: Journal, ended: Ended) -> None:
    failures = part.judge(ended, journal.read())
    if failures is None:
        journal.drop()
        return
    for unit in failures:
        journal.note(unit)
    journal.judge()


def _note_cut(journal: Journal, progress: Progress) -> None:
    """What was running when the time was over is done again, but not for ever."""
    name = progress.running
    if name is None:
        return
    journal.cut(name)
    if progress.cuts[name] + 1 >= MOST_CUTS:
        text = f"it did not end before the time was over, {MOST_CUTS} times"
        journal.note(Unit(name=name, outcome="failed", text=text))
