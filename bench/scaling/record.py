"""What a count leaves behind."""

from __future__ import annotations

from typing import Final, Literal

from ..record import Machine, Strict
from .model import Mesh

SCHEMA_VERSION: Final = 1


class Counted(Strict):
    """Of one strategy on one mesh: payload bytes by the collective's kind, of each process."""

    strategy: str
    data: int
    model: int
    payload_bytes: dict[str, int]

    @property
    def mesh(self) -> Mesh:
        """The two sizes together."""
        return Mesh(self.data, self.model)


class ScalingRecord(Strict):
    """One count of all strategies."""

    schema_version: Literal[1] = SCHEMA_VERSION
    machine: Machine
    rows: tuple[Counted, ...] = ()
