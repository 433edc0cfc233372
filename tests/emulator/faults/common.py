"""What a fault is, and edits that several faults share."""

from __future__ import annotations

from typing import NamedTuple

from ..mutation import Mutation


class Fault(NamedTuple):
    scenario: str
    mutations: tuple[Mutation, ...]


# Not a fault: blocks then walk over many tiles, or elements.
ONE_BLOCK = Mutation("csrc/kernels/launch_shape.h", "(int64_t{1} << 31) - 1", "1")
SYNC = "__syncthreads();"


def fault(scenario: str, file: str, old: str, new: str, occurrence: int = 0) -> Fault:
    """One edit."""
    return Fault(scenario, (Mutation(file, old, new, occurrence),))
