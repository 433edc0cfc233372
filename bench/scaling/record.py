"""What a count leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from ..record import Machine, Strict

SCHEMA_VERSION: Final = 1


class Counted(Strict):
    """Of one strategy on one mesh: payload bytes by the collective's kind, of each process."""

    strategy: str
    data: int
    model: int
    payload_bytes: dict[str, int]


class ScalingRecord(Strict):
    """One count of all strategies."""

    schema_version: Literal[1] = SCHEMA_VERSION
    machine: Machine
    rows: tuple[Counted, ...] = ()


def read(path: Path) -> ScalingRecord:
    """Raises pydantic's ValidationError where the file is no such record."""
    return ScalingRecord.model_validate_json(path.read_text())


def write(record: ScalingRecord, path: Path) -> None:
    """As JSON that differs line by line."""
    path.write_text(record.model_dump_json(indent=1) + "\n")
