"""Where a tensor's elements lie: anything that sizes, strides and an offset can say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from cases import GUARD
from hypothesis import strategies as st
from torch import Tensor


class Memory(NamedTuple):
    """In elements. The offset is how far the first one lies behind an aligned address."""

    strides: tuple[int, ...]
    offset: int = 0

    def place(self, shape: Sequence[int], values: Tensor) -> Tensor:
        """A view of that shape, of values among NaN. They are as many as `extent` says, one for
        each place, as elements may share one."""
        begin, extent = GUARD + self.offset, self.extent(shape)
        buffer = torch.full((begin + extent + GUARD,), torch.nan, dtype=values.dtype)
        is_inside = torch.zeros(extent, dtype=torch.bool)
        is_inside[torch.arange(extent).as_strided(shape, self.strides)] = True
        buffer[begin : begin + extent][is_inside] = values[is_inside]
        return buffer.as_strided(shape, self.strides, begin)

    def extent(self, shape: Sequence[int]) -> int:
        """From the first element to behind the last."""
        if 0 in shape:
            return 0
        return 1 + sum((n - 1) * stride for n, stride in zip(shape, self.strides, strict=True))


def contiguous(shape: Sequence[int]) -> Memory:
    return Memory(torch.empty(shape, device="meta").stride())


# A dimension goes from one element to the next by as many elements as those inside it take
# ("dense"), by some more, by twice as many, by none, or by fewer.
_WITHOUT_OVERLAP = ("dense", "dense", "padded", "strided")
_WAYS = (*_WITHOUT_OVERLAP, "expanded", "overlapping")
_ORDERS = [st.sampled_from(list(itertools.permutations(range(dims)))) for dims in range(6)]
_OFFSETS = st.sampled_from([0, 0, 1, 2, 3, 8])


def draw_memory(
    draw: st.DrawFn,
    shape: Sequence[int],
    *,
    multiple: int = 1,
    may_expand: Sequence[int] = (),
    may_be_written: bool = False,
) -> Memory:
    """Any for a tensor of that shape. With a `multiple`, what tensor maps describe: rows of
    neighbours that begin at multiples of it, and of the other dimensions no more than those of
    `may_expand` have a stride of zero."""
    if draw(st.booleans()):
        return contiguous(shape)
    has_rows = multiple > 1
    ways = st.sampled_from(_WITHOUT_OVERLAP if may_be_written else _WAYS)
    order = draw(_ORDERS[len(shape) - has_rows])
    strides, extent = [0] * len(shape), 1
    if has_rows:
        strides[-1], extent = 1, shape[-1]
    for d in order:
        way = draw(ways)
        if way == "padded":
            stride = extent + draw(st.integers(1, 9))
        elif way == "overlapping":
            stride = draw(st.integers(1, extent))
        elif way == "expanded" and (d in may_expand or not has_rows):
            stride = 0
        else:
            stride = 2 * extent if way == "strided" else extent
        strides[d] = -(-stride // multiple) * multiple
        extent += max(shape[d] - 1, 0) * strides[d]
    return Memory(tuple(strides), multiple * draw(_OFFSETS))
