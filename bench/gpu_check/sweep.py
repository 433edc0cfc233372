"""Parts that call the kernels themselves, task by task; and the process that does so.

``python -m bench.gpu_check.sweep determinism --journal FILE --seconds 600``
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch

from . import batch_invariance, context, determinism, soak
from .journal import Journal, Unit
from .part import Part, seconds_option
from .program import Command
from .task import Task


class Sweep(NamedTuple):
    """What the tasks of a sweep are for, and how their figures make those of the part."""

    question: str
    tasks: Callable[[torch.device], Iterable[Task]]
    figures: Callable[[Collection[Unit]], dict[str, float]]


SWEEPS: Final[Mapping[str, Sweep]] = {
    "determinism": Sweep(
        "are results the same to the bit in 100 repeats, concurrent streams, threads and graphs?",
        determinism.tasks,
        determinism.figures,
    ),
    "batch_invariance": Sweep(
        "is a sample's result the same to the bit in batches of any size?",
        batch_invariance.tasks,
        batch_invariance.figures,
    ),
    "soak": Sweep(
        "does memory stay flat over 10^6 calls?",
        soak.tasks,
        soak.figures,
    ),
}


class SweepPart(Part):
    """One of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.question = SWEEPS[name].question

    def command(self, journal: Path, seconds: float) -> Command:
        """Of this module."""
        options = ("--journal", str(journal), *seconds_option("--seconds", seconds))
        return Command((sys.executable, "-m", __name__, self.name, *options))

    def figures(self, units: Collection[Unit]) -> dict[str, float]:
        """The sweep's own, and how many tasks failed."""
        failed = sum(unit.outcome == "failed" for unit in units)
        return {**SWEEPS[self.name].figures(units), **({"failed": failed} if failed else {})}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 also where tasks failed: the journal has it."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check.sweep")
    parser.add_argument("name", choices=list(SWEEPS))
    parser.add_argument("--journal", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--device", type=torch.device, default="cuda", help="cpu: for a look")
    options = parser.parse_args(argv)
    end = time.monotonic() + options.seconds
    do_tasks(SWEEPS[options.name].tasks(options.device), Journal(options.journal), end)
    return 0


def do_tasks(tasks: Iterable[Task], journal: Journal, end: float) -> None:
    """Those that the journal does not have, until the clock says so."""
    done = journal.read().units
    for task in tasks:
        if task.name in done:
            continue
        if time.monotonic() >= end:
            journal.stop()
            return
        journal.start(task.name)
        unit = _done(task)
        journal.end(unit)
        if unit.outcome == "failed" and context.is_broken():
            return  # the next process goes on
    journal.complete()


def _done(task: Task) -> Unit:
    torch.manual_seed(20)
    start = time.monotonic()
    try:
        figures = task.run()
    except Exception:
        text, seconds = traceback.format_exc(), time.monotonic() - start
        return Unit(name=task.name, outcome="failed", seconds=round(seconds, 3), text=text)
    seconds = round(time.monotonic() - start, 3)
    return Unit(name=task.name, outcome="passed", seconds=seconds, figures=figures)


if __name__ == "__main__":
    sys.exit(main())
