"""One kernel of a family, by the number of its tile: for measurements and tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import per_step_dense as psd
from per_step_dense import _ops


@contextmanager
def forced_tile(family: str, tile: int, splits: int = 0) -> Iterator[None]:
    """Makes this thread's calls of the ops use a tile.

    A backward that autograd runs is on another thread, and is not forced.

    Args:
        family: a name that ``use_kernel`` knows.
        tile: index into the family's tiles. Where the family has no such tile for a call, that is
            a ValueError.
        splits: between how many blocks each sum is split; 0 leaves it to the chooser.
    """
    assert _ops.compiled is not None
    before = _ops.compiled.force_tile(tile, splits, splits)
    try:
        with psd.use_kernel(family):
            yield
    finally:
        _ops.compiled.force_tile(*before)
