"""What a run leaves behind."""

from __future__ import annotations

from typing import Final, Literal

from ..record import Machine, Strict

SCHEMA_VERSION: Final = 1

AUTO: Final = "auto"
PRODUCTS: Final = "products"


class Measured(Strict):
    """What became of one candidate."""

    name: str
    """As psd.explain has it; ``auto`` is what the chooser takes, ``products`` torch's bare ones."""
    family: str
    tile: int
    """Index into the family's tiles; -1 where none was forced."""
    estimate_us: float | None
    us: float | None
    error: float | None
    """The norm of the difference to float64 over float64's; of several results, the largest."""
    failure: str | None = None


class TilesRow(Strict):
    """All candidates for one layer and pass."""

    case: str
    sizes: str
    arithmetic: str
    computed: Literal["forward", "backward"]
    chosen: str
    floor_us: float | None
    candidates: tuple[Measured, ...]

    def time_of(self, name: str) -> float | None:
        """Of a candidate, if it was measured."""
        return next((found.us for found in self.candidates if found.name == name), None)

    def best(self) -> Measured | None:
        """The fastest of those that were forced."""
        forced = [found for found in self.candidates if found.tile >= 0 and found.us is not None]
        return min(forced, key=lambda found: found.us or 0.0, default=None)


class TilesRecord(Strict):
    """One run."""

    schema_version: Literal[1] = SCHEMA_VERSION
    machine: Machine
    rows: tuple[TilesRow, ...] = ()
