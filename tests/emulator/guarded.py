"""Output buffers that show what was not written, and what was written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch

from . import sparse

GUARD_ELEMENTS = 64
LAYOUTS = ("contiguous", "padded", "spaced", "strided", "transposed")


class Output(Protocol):
    """A result of a run."""

    @property
    def tensor(self) -> torch.Tensor: ...

    def has_intact_guards(self) -> bool: ...


def new_output(shape: Sequence[int], dtype: torch.dtype, layout: str = "contiguous") -> Output:
    """To be written by a run. Of the sparse layouts nothing is poisoned or guarded."""
    if layout in sparse.LAYOUTS:
        return sparse.Output(shape, dtype, layout)
    return GuardedOutput(shape, dtype, layout)


class GuardedOutput:
    """A tensor full of NaN, between two bands of NaN and with NaN in its gaps.

    Its layout is "contiguous", "padded" (rows begin at multiples of 16 bytes, end anywhere and
    leave a gap), "spaced" (rows leave a gap of one element), "strided" (every other element) or
    "transposed" (the last two dimensions lie in memory the other way round).
    """

    def __init__(
        self, shape: Sequence[int], dtype: torch.dtype, layout: str = "contiguous"
    ) -> None:
        self._layout = layout
        self._vector_elements = 16 // dtype.itemsize
        *outer, rows, columns = shape
        if layout == "transposed":
            rows, columns = columns, rows
        self._memory_shape = (*outer, rows, columns)
        elements = math.prod(outer) * rows * self._pitch(columns)
        self._buffer = torch.full((elements + 2 * GUARD_ELEMENTS,), math.nan, dtype=dtype)
        self._is_inside = torch.zeros(self._buffer.shape, dtype=torch.bool)
        self._view(self._is_inside).fill_(True)
        self.tensor = self._view(self._buffer)

    def has_intact_guards(self) -> bool:
        return bool(self._buffer[~self._is_inside].isnan().all())

    def _pitch(self, columns: int) -> int:
        if self._layout == "padded":
            return (columns // self._vector_elements + 1) * self._vector_elements
        if self._layout == "spaced":
            return columns + 1
        return 2 * columns if self._layout == "strided" else columns

    def _view(self, buffer: torch.Tensor) -> torch.Tensor:
        *outer, columns = self._memory_shape
        pitch = self._pitch(columns)
        rows = buffer[GUARD_ELEMENTS:-GUARD_ELEMENTS].view(*outer, pitch)
        if self._layout == "strided":
            return rows[..., ::2]
        rows = rows[..., :columns]
        return rows.mT if self._layout == "transposed" else rows
