"""Products whose rows differ from step to step, as in a packed sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..library import Library
from .runs import New, as_multiplied, is_close

FEW = (5, 0, 70, 3, 0, 33)
MANY = tuple(t % 2 if t < 100 else t % 3 for t in range(300))


def packed(count: Sequence[int], gap: int = 0) -> tuple[list[int], list[int]]:
    """Step behind step, so many rows between them."""
    return [sum(count[:t]) + t * gap for t in range(len(count))], list(count)


def rows_with_gaps(new: New, columns: int, rows: tuple[Sequence[int], Sequence[int]]) -> Tensor:
    """Those of no step are NaN."""
    values = new(rows[0][-1] + rows[1][-1], columns)
    of_steps = torch.zeros(len(values), dtype=torch.bool)
    for begin, count in zip(*rows, strict=True):
        of_steps[begin : begin + count] = True
    values[~of_steps] = torch.nan
    return values


def steps_of(
    rows: tuple[Sequence[int], Sequence[int]], x: Tensor, weight: Tensor
) -> list[tuple[slice, Tensor, Tensor]]:
    """Of each step, which rows it has, they, and its weight."""
    own = [slice(begin, begin + count) for begin, count in zip(*rows, strict=True)]
    return [(where, x[where], weight[t]) for t, where in enumerate(own)]


def packed_forward(
    library: Library,
    schedule: str,
    dtype: torch.dtype,
    count: Sequence[int],
    sizes: tuple[int, int],
    *,
    claimed: int = 0,
    gap: int = 0,
    transposed: bool = False,
    **wishes: Any,
) -> str:
    """The last step claims some rows more than there are."""
    new, rows = New(dtype), packed(count, gap)
    x, weight = rows_with_gaps(new, sizes[0], rows), new(len(count), *sizes)
    bias = new(len(count), sizes[1])
    x = x.mT.contiguous().mT if transposed else x
    begin, ranged = rows[0], [*rows[1][:-1], rows[1][-1] + claimed]
    wishes["rows"] = begin, ranged
    y, z = library.forward(x, weight, bias, "tanh", want_z=True, schedule=schedule, **wishes)
    x, weight = (as_multiplied(operand, **wishes) for operand in (x, weight))
    steps = steps_of(rows, x, weight)
    exact = torch.cat([x_t @ own + bias[t].double() for t, (_, x_t, own) in enumerate(steps)])
    of_steps = torch.cat([torch.arange(len(y))[where] for where, _, _ in steps])
    assert z is not None
    if not is_close(z[of_steps], exact):
        return "z is wrong"
    return "" if is_close(y[of_steps], exact.tanh()) else "y is wrong"


def packed_backward(
    library: Library,
    schedule: str,
    dtype: torch.dtype,
    count: Sequence[int],
    sizes: tuple[int, int],
    *,
    gap: int = 0,
    transposed: bool = False,
    **wishes: Any,
) -> str:
    new, rows = New(dtype), packed(count, gap)
    dz, x = (rows_with_gaps(new, size, rows) for size in reversed(sizes))
    if transposed:
        dz, x = dz.mT.contiguous().mT, x.mT.contiguous().mT
    weight = new(len(count), *sizes)
    dx, dweight, dbias = library.backward(dz, x, weight, rows=rows, schedule=schedule, **wishes)
    assert dx is not None and dweight is not None and dbias is not None
    sums = torch.stack([own.double().sum(0) for _, own, _ in steps_of(rows, dz, weight)])
    if not is_close(dbias, sums):
        return "dbias is wrong"
    dz, x, weight = (as_multiplied(operand, **wishes) for operand in (dz, x, weight))
    steps = steps_of(rows, x, weight)
    of_steps = torch.cat([torch.arange(len(dx))[where] for where, _, _ in steps])
    if not is_close(dx[of_steps], torch.cat([dz[where] @ own.mT for where, _, own in steps])):
        return "dx is wrong"
    exact = torch.stack([own.mT @ dz[where] for where, own, _ in steps])
    return "" if is_close(dweight, exact) else "dweight is wrong"
