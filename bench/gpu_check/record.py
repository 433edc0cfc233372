"""What a run leaves behind."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from ..record import Machine, Strict, read_as

SCHEMA_VERSION: Final = 1


class Outcome(str, Enum):
    """What became of a part."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    """What it needs was not there, or refused this GPU."""
    UNFINISHED = "unfinished"
    """Right so far."""
    NOT_RUN = "not run"


class Failure(Strict):
    """One test, kernel or stretch of calls, and what was wrong with it."""

    name: str
    text: str


class PartResult(Strict):
    """What became of one part."""

    part: str
    question: str
    outcome: Outcome
    is_over: bool
    """Whether there is nothing left to do: a part may have failed without being through."""
    reason: str | None = None
    """In whose words it was refused, or why it failed as a whole."""
    figures: dict[str, float] = Field(default_factory=dict)
    seconds: float = 0.0
    """Of all runs together that it took."""
    failures: tuple[Failure, ...] = ()
    """The first of them."""


class GpuCheckRecord(Strict):
    """All parts, on one GPU with one state of the code."""

    schema_version: Literal[1] = SCHEMA_VERSION
    machine: Machine
    """As it was when the first part began."""
    parts: tuple[PartResult, ...]


def path_of(record: GpuCheckRecord, folder: Path) -> Path:
    """Where it goes: a file of that day and GPU, but never that of another run."""
    stem = f"{record.machine.date[:10]}-{slug(record.machine.device_name)}"
    number = 1
    while True:
        path = folder / f"{stem}{'' if number == 1 else f'-{number}'}.json"
        if not path.exists() or _is_of_the_same_run(path, record):
            return path
        number += 1


def _is_of_the_same_run(path: Path, record: GpuCheckRecord) -> bool:
    return read_as(GpuCheckRecord, path).machine == record.machine


def last_record(folder: Path) -> GpuCheckRecord | None:
    """The one that was begun last; None where there is none.

    Raises:
        RecordError: where a file is not a record.
    """
    records = [read_as(GpuCheckRecord, path) for path in folder.glob("*.json")]
    return max(records, key=lambda record: record.machine.date, default=None)


def slug(name: str) -> str:
    """For a file's name: "NVIDIA H200" is ``nvidia-h200``."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    return "-".join(words)
