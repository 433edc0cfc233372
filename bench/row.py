"""Measures one row: every rival on the same work, checked, then timed in turns."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch

from .contestant import Contestant
from .gate import Gate, WrongError
from .precision import float32_products
from .record import Clock, Layout, Measurement, Memory, Outcome, RivalResult, Row, Timing
from .rivals import Rival
from .timing import Budget, Stopwatch, first_line, stopwatches_of, take_turns
from .workload import Inputs, Workload

Say = Callable[[str], None]
"""Told what is being measured."""


@dataclass
class _Entry:
    """A rival that passed the gate."""

    rival: Rival
    contestant: Contestant
    error: float
    memory: Memory | None
    kernel: str | None
    measurements: list[Measurement] = field(default_factory=list)
    failures: list[tuple[Outcome, str]] = field(default_factory=list)

    def layouts(self, clock: Clock) -> tuple[Layout, ...]:
        """Those worth a measurement of their own."""
        has_own = not self.contestant.is_contiguous and clock in (Clock.WALL, Clock.COLD)
        return (Layout.CONTIGUOUS, Layout.AS_LEFT) if has_own else (Layout.CONTIGUOUS,)


def measure_row(
    workload: Workload,
    rivals: Sequence[Rival],
    budget: Budget,
    limit_seconds: float,
    say: Say = lambda text: None,
    clocks: Sequence[Clock] | None = None,
) -> Row:
    """Checks every rival against float64, and times those that are right.

    Args:
        workload: what they compute.
        rivals: each has a result in the row, whatever becomes of it.
        budget: of each rival and clock.
        limit_seconds: after which nothing more is begun; what is left out says so.
        say: is told what is being done.
        clocks: all that the device has, unless given.
    """
    begun = time.monotonic()

    def is_late(part: float = 1.0) -> bool:
        return time.monotonic() > begun + part * limit_seconds

    stopwatches = stopwatches_of(workload.device)
    if clocks is not None:
        stopwatches = {clock: stopwatches[clock] for clock in clocks if clock in stopwatches}
    results: dict[str, RivalResult] = {}
    entries: list[_Entry] = []
    with float32_products("tf32" if workload.case.allows_tf32 else "ieee"), _cleaned_up(entries):
        sets, gate = _prepare(workload)
        for rival in rivals:
            say(f"{rival.name}: checking")
            # However long a check takes, time remains to time those that have been checked.
            outcome = _enter(rival, workload, sets, stopwatches, gate, partial(is_late, 0.5))
            if isinstance(outcome, RivalResult):
                results[rival.name] = outcome
            else:
                entries.append(outcome)
        del gate
        for clock in stopwatches:
            say(f"{clock.value}, {len(entries)} rivals in turns")
            _time(entries, clock, budget, is_late)
        results.update({entry.rival.name: _result(entry) for entry in entries})
    case = workload.case
    return Row(
        case=case.name,
        sizes=case.sizes,
        arithmetic=case.arithmetic,
        computed=workload.computed,
        has_bias=workload.has_bias,
        activation=workload.activation,
        results=tuple(results[rival.name] for rival in rivals),
    )


def describe_error(error: BaseException) -> tuple[Outcome, str]:
    """What became of a rival that raised this, and why."""
    text = first_line(error)
    if isinstance(error, WrongError):
        return Outcome.WRONG, text
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return Outcome.OUT_OF_MEMORY, text
    if isinstance(error, TimeoutError):
        return Outcome.OUT_OF_TIME, text
    return Outcome.FAILED, f"{type(error).__name__}: {text}"


def _prepare(workload: Workload) -> tuple[list[Inputs], Gate]:
    """Several sets of inputs where memory is timed cold, and the first one's truth."""
    sets = [workload.inputs()]
    if workload.device.type == "cuda":
        a_set = sum(tensor.nbytes for tensor in (sets[0].x, sets[0].weight, sets[0].dy))
        free, _ = torch.cuda.mem_get_info(workload.device)
        # What is computed of a set takes as much again, and more where a rival copies.
        affordable = free // 8 // max(1, a_set)
        sets += [workload.inputs(seed) for seed in range(1, max(2, min(_MOST_SETS, affordable)))]
    return sets, Gate(workload, sets[0])


_MOST_SETS = 16


def _enter(
    rival: Rival,
    workload: Workload,
    sets: Sequence[Inputs],
    stopwatches: Mapping[Clock, Stopwatch],
    gate: Gate,
    is_late: Callable[[], bool],
) -> _Entry | RivalResult:
    if missing := rival.why_not_installed():
        return RivalResult(rival=rival.name, outcome=Outcome.NOT_INSTALLED, reason=missing)
    if refusal := rival.why_not(workload):
        return RivalResult(rival=rival.name, outcome=Outcome.UNSUPPORTED, reason=refusal)
    contestant = None
    try:
        if is_late():
            raise TimeoutError("half of the row's time was used up before")
        contestant = rival.enter(workload, sets, stopwatches)
        error = gate.check(contestant.results())
        memory = contestant.memory()
        return _Entry(rival, contestant, error, memory, rival.kernel(workload, sets[0]))
    except Exception as error:
        if contestant is not None:
            contestant.close()
        outcome, reason = describe_error(error)
        return RivalResult(rival=rival.name, outcome=outcome, reason=reason)


def _time(
    entries: Sequence[_Entry], clock: Clock, budget: Budget, is_late: Callable[[], bool]
) -> None:
    """Adds each entry's measurements by the clock."""
    owners = {
        f"{entry.rival.name}, {layout.value}": (entry, layout)
        for entry in entries
        for layout in entry.layouts(clock)
    }
    turns = {
        name: partial(entry.contestant.turn, clock, layout)
        for name, (entry, layout) in owners.items()
    }
    for name, outcome in take_turns(turns, budget, is_late).items():
        entry, layout = owners[name]
        if isinstance(outcome, Timing):
            timing, reason = outcome, None
        else:
            timing, failure = None, describe_error(outcome)
            entry.failures.append(failure)
            reason = f"{failure[0].value}: {failure[1]}"
        entry.measurements.append(
            Measurement(clock=clock, layout=layout, timing=timing, reason=reason)
        )


def _result(entry: _Entry) -> RivalResult:
    """Measured if any clock gave a time; else what the first one said."""
    is_measured = any(measurement.timing for measurement in entry.measurements)
    outcome, reason = (Outcome.MEASURED, None) if is_measured else entry.failures[0]
    return RivalResult(
        rival=entry.rival.name,
        outcome=outcome,
        reason=reason,
        kernel=entry.kernel,
        error=entry.error,
        measurements=tuple(entry.measurements) if is_measured else (),
        memory=entry.memory,
    )


@contextmanager
def _cleaned_up(entries: list[_Entry]) -> Iterator[None]:
    """Whatever happens, nothing of one row stays in memory for the next."""
    try:
        yield
    finally:
        for entry in entries:
            entry.contestant.close()
        entries.clear()
        torch.compiler.reset()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
