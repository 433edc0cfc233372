"""Output buffers that show what was not written, and what was written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

GUARD_ELEMENTS = 64


class GuardedOutput:
    """A contiguous tensor full of NaN between two bands of NaN."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        elements = math.prod(shape)
        self._buffer = torch.full((elements + 2 * GUARD_ELEMENTS,), math.nan, dtype=dtype)
        self._elements = elements
        self.tensor = self._buffer[GUARD_ELEMENTS : GUARD_ELEMENTS + elements].view(*shape)

    def has_intact_guards(self) -> bool:
        before = self._buffer[:GUARD_ELEMENTS]
        after = self._buffer[GUARD_ELEMENTS + self._elements :]
        return bool(before.isnan().all() and after.isnan().all())
