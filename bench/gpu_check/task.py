"""What a sweep consists of."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from .journal import Unit


class Task(NamedTuple):
    """It raises where it finds something wrong, and returns its figures where not."""

    name: str
    run: Callable[[], dict[str, float]]


def sums(units: Collection[Unit]) -> dict[str, float]:
    """Of each figure, over all units that have it."""
    total: dict[str, float] = {}
    for unit in units:
        for name, value in unit.figures.items():
            total[name] = total.get(name, 0) + value
    return total
