"""Runs jobs, and writes the record after each of them: a run that is cut loses one row at most."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .jobs import Job
from .record import Record, write


def run_jobs(
    record: Record, jobs: Sequence[Job], path: Path, stop_after_seconds: float, console: Console
) -> tuple[Record, int]:
    """Measures what the record does not have yet.

    Args:
        record: what has been measured before.
        jobs: all that is wanted.
        path: where the record goes after every row.
        stop_after_seconds: after which no further job is begun.
        console: shows the progress.

    Returns:
        The record, and how many jobs are left: those not begun in time, or after Ctrl-C.
    """
    measured = set(record.keys())
    todo = [job for job in jobs if job.key not in measured]
    deadline = time.monotonic() + stop_after_seconds
    with _progress(console) as progress:
        task = progress.add_task("", total=len(jobs), completed=len(jobs) - len(todo))
        for done, job in enumerate(todo):
            if time.monotonic() > deadline:
                return record, len(todo) - done

            def say(text: str, job: Job = job) -> None:
                progress.update(task, description=f"{job.text}: {text}")

            say("preparing")
            try:
                record = job.add_to(record, job.run(say))
            except KeyboardInterrupt:
                return record, len(todo) - done
            write(record, path)
            progress.advance(task)
    return record, 0


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
    )
