"""What every part is to the run: a command that keeps a journal, and what its output adds to it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from .journal import Progress, Unit
from .program import Command, Ended, Runner
from .record import Failure, Outcome, PartResult

MOST_FAILURES = 5  # whose text the record keeps


class Part(ABC):
    """One question to the GPU."""

    name: str
    question: str

    @abstractmethod
    def command(self, journal: Path, seconds: float) -> Command:
        """Does what the journal does not have yet, and stops by itself after the seconds."""

    def refusal(self, run: Runner, seconds: float, log: Path) -> str | None:
        """Why the part cannot be done here, in the words of whatever refuses it."""
        return None

    def judge(self, ended: Ended, progress: Progress) -> Sequence[Unit] | None:
        """Failures that the process' output tells of, and its journal does not; None where one
        cannot know, so that what it noted does not count.
        """
        return ()

    def figures(self, units: Collection[Unit]) -> dict[str, float]:
        """Of all units together."""
        counts = Counter(unit.outcome for unit in units)
        return {name: counts[name] for name in ("passed", "failed", "skipped") if counts[name]}

    def result(self, progress: Progress) -> PartResult:
        """As the record has it."""
        units = progress.units.values()
        outcome, reason = _outcome(progress)
        failed = [unit for unit in units if unit.outcome == "failed"]
        return PartResult(
            part=self.name,
            question=self.question,
            outcome=outcome,
            is_over=progress.is_over,
            reason=reason,
            figures=self.figures(units),
            seconds=round(progress.seconds, 1),
            failures=tuple(
                Failure(name=unit.name, text=unit.text or "") for unit in failed[:MOST_FAILURES]
            ),
        )


def seconds_option(name: str, seconds: float) -> tuple[str, ...]:
    """An option of a command, where there is a limit at all."""
    return () if math.isinf(seconds) else (name, f"{seconds:.1f}")


def _outcome(progress: Progress) -> tuple[Outcome, str | None]:
    outcomes = {unit.outcome for unit in progress.units.values()}
    if "failed" in outcomes:
        return Outcome.FAILED, None
    if progress.refusal is not None:
        return Outcome.REFUSED, progress.refusal
    if not progress.is_complete:
        return (Outcome.UNFINISHED if progress.processes else Outcome.NOT_RUN), None
    if not outcomes:
        return Outcome.FAILED, "it found nothing to do"
    if outcomes == {"skipped"}:
        why = next(iter(progress.units.values())).text
        return Outcome.REFUSED, f"all {len(progress.units)} were skipped: {why}"
    return Outcome.PASSED, None
