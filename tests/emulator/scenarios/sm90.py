"""Scenarios of the family `sm90`. Few multiprocessors, so that a block computes several tiles."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ..library import Library
from .runs import New, Scenario, as_multiplied, forward_of_rows, is_close, wrong_forward

HALF, BRAIN, TF32 = torch.float16, torch.bfloat16, torch.float32
LARGE_OF_TF32, SMALL_OF_TF32 = range(2)
CLUSTERS, LARGE, CLUSTERS_BY_TURNS, BY_TURNS, NARROW, WIDE, MIDDLE, SMALL = range(8)


def forward_of_repeated_steps(library: Library, schedule: str, **wishes: Any) -> str:
    """All steps have one weight, and rows of x that overlap; then one x, and a weight each."""
    new = New(HALF)
    windows, weight, bias = new(70, 40).unfold(1, 16, 8), new(16, 72), new(4, 72)
    shared = weight.expand(4, 16, 72)
    return wrong_forward(library, schedule, windows, shared, bias, **wishes) or wrong_forward(
        library, schedule, new(70, 1, 16).expand(70, 4, 16), new(4, 16, 72), bias, **wishes
    )


def forward_of_strides(library: Library, schedule: str, **wishes: Any) -> str:
    """Gaps on every side of x and of the weight, a bias whose steps lie inside."""
    new = New(BRAIN)
    x, weight = new(71, 4, 48)[1:, ::2, 8:-8], new(4, 33, 88)[::2, :-1, 8:-8]
    return wrong_forward(library, schedule, x, weight, new(72, 2).t(), **wishes)


def gradient_of_x(
    library: Library, schedule: str, sizes: tuple[int, int, int], **wishes: Any
) -> str:
    b, i, o = sizes
    new = New(TF32)
    dz, x, weight = new(b, 2, o), new(b, 2, i), new(2, i, o)
    dx, _, _ = library.backward(dz, x, weight, (True, False, False), schedule=schedule, **wishes)
    assert dx is not None
    dz, weight = (as_multiplied(operand, **wishes) for operand in (dz, weight))
    return "" if is_close(dx, torch.einsum("bto,tio->bti", dz, weight)) else "dx is wrong"


def _of_sm90(
    tile: int,
    sizes: tuple[int, int, int],
    dtype: torch.dtype = HALF,
    sms: int = 1,
    splits: int = 1,
    **arguments: Any,
) -> Scenario:
    return partial(
        forward_of_rows,
        dtype=dtype,
        sizes=sizes,
        pitch=16 // dtype.itemsize,
        kernel="sm90",
        tf32=True,
        tile=tile,
        sms=sms,
        splits=(splits, 1),
        **arguments,
    )


def _dx_of_tf32(tile: int, sizes: tuple[int, int, int], splits: int = 1) -> Scenario:
    return partial(
        gradient_of_x,
        sizes=sizes,
        kernel="sm90",
        tf32=True,
        tile=tile,
        sms=3,
        splits=(splits, 1),
    )


SM90_SCENARIOS: dict[str, Scenario] = {
    "sm90 forward": _of_sm90(SMALL, (70, 648, 72)),
    "sm90 forward of bfloat16": _of_sm90(SMALL, (70, 72, 72), BRAIN),
    "sm90 forward of a few blocks": _of_sm90(SMALL, (70, 72, 72), sms=3),
    "sm90 forward of wide tiles": _of_sm90(WIDE, (70, 328, 200)),
    "sm90 forward by turns": _of_sm90(NARROW, (140, 200, 72)),
    "sm90 forward by turns of long sums": _of_sm90(BY_TURNS, (10, 392, 136)),
    "sm90 forward of two consumers": _of_sm90(LARGE, (140, 264, 264)),
    "sm90 forward by clusters": _of_sm90(CLUSTERS, (300, 264, 264)),
    "sm90 forward by clusters that take turns": _of_sm90(CLUSTERS_BY_TURNS, (140, 392, 136)),
    "sm90 forward of many columns": _of_sm90(SMALL, (140, 40, 2184)),
    "sm90 forward of long rows": _of_sm90(SMALL, (140, 584, 2184), sms=3),
    "sm90 forward into padded rows": _of_sm90(NARROW, (70, 40, 72), outputs="padded"),
    "sm90 split forward": _of_sm90(SMALL, (70, 200, 72), splits=3),
    "sm90 split forward by turns": _of_sm90(BY_TURNS, (140, 200, 136), splits=2),
    "sm90 forward of tf32": _of_sm90(SMALL_OF_TF32, (70, 236, 140), TF32),
    "sm90 forward of tf32 by large tiles": _of_sm90(LARGE_OF_TF32, (140, 68, 196), TF32, sms=3),
    "sm90 split forward of tf32": _of_sm90(LARGE_OF_TF32, (140, 100, 196), TF32, splits=3),
    "sm90 gradient of x in tf32": _dx_of_tf32(SMALL_OF_TF32, (70, 140, 68)),
    "sm90 gradient of x in tf32 by large tiles": _dx_of_tf32(LARGE_OF_TF32, (140, 100, 196)),
    "sm90 split gradient of x in tf32": _dx_of_tf32(SMALL_OF_TF32, (70, 100, 100), splits=3),
    "sm90 forward of repeated steps": partial(
        forward_of_repeated_steps, kernel="sm90", tile=SMALL, sms=2, splits=(1, 1)
    ),
    "sm90 forward of strides": partial(
        forward_of_strides, kernel="sm90", tile=SMALL, sms=2, splits=(1, 1)
    ),
}
