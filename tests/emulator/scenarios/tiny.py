"""Scenarios of the family `tiny`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from .packed import FEW, packed_backward, packed_forward
from .runs import (
    Scenario,
    accumulation_of_rows,
    backward_of_rows,
    forward_misaligned,
    forward_of_odd_steps,
    forward_of_rows,
    forward_of_strides,
    long_sums,
)


def _of_tiny(
    scenario: Callable[..., str],
    dtype: torch.dtype | None = None,
    sizes: tuple[int, ...] | None = None,
    *,
    tile: int,
    splits: tuple[int, int] = (1, 1),
    **arguments: Any,
) -> Scenario:
    if sizes is not None:
        arguments.update(dtype=dtype, sizes=sizes)
    return partial(scenario, kernel="tiny", tile=tile, splits=splits, **arguments)


NARROW, WIDE, NARROW_SLICED, WIDE_SLICED = (partial(_of_tiny, tile=tile) for tile in range(4))
TINY_SCENARIOS: dict[str, Scenario] = {
    "tiny forward": NARROW(forward_of_rows, torch.float32, (13, 19, 11), pitch=1),
    "tiny forward of vectors": WIDE(forward_of_rows, torch.float32, (13, 26, 40), pitch=4),
    "tiny forward of elements": WIDE(forward_of_rows, torch.bfloat16, (13, 19, 21), pitch=1),
    "tiny backward": NARROW(backward_of_rows, torch.float64, (21, 19, 11), pitch=1),
    "tiny backward of vectors": WIDE(backward_of_rows, torch.float16, (21, 16, 24), pitch=8),
    "tiny backward of one column": NARROW(backward_of_rows, torch.float32, (21, 19, 1), pitch=1),
    "tiny backward of two columns": NARROW(backward_of_rows, torch.float32, (21, 19, 2), pitch=1),
    "tiny backward of elements": WIDE(backward_of_rows, torch.bfloat16, (13, 19, 21), pitch=1),
    "tiny forward of ragged vectors": WIDE(forward_of_rows, torch.float32, (13, 24, 39), pitch=4),
    "tiny into padded rows": WIDE(
        forward_of_rows, torch.float32, (13, 24, 39), pitch=4, outputs="padded"
    ),
    "tiny misaligned forward": WIDE(forward_misaligned),
    "tiny forward of odd steps": WIDE(forward_of_odd_steps),
    "tiny forward of strides": WIDE(forward_of_strides),
    "tiny lanes": NARROW_SLICED(forward_of_rows, torch.float32, (5, 301, 1), pitch=1),
    "tiny warps": WIDE_SLICED(forward_of_rows, torch.float32, (3, 301, 40), pitch=4),
    "tiny backward by warps": NARROW_SLICED(backward_of_rows, torch.float32, (300, 8, 12), pitch=4),
    "tiny split forward": WIDE(forward_of_rows, torch.float32, (9, 75, 20), pitch=4, splits=(3, 1)),
    "tiny split backward": NARROW_SLICED(
        backward_of_rows, torch.bfloat16, (150, 20, 30), pitch=2, splits=(2, 3)
    ),
    "tiny accumulation": WIDE(
        accumulation_of_rows, torch.bfloat16, (13, 16, 24), into=torch.float32
    ),
    "tiny accumulation by warps": NARROW_SLICED(
        accumulation_of_rows, torch.float32, (300, 8, 12), into=torch.float32
    ),
    "tiny accumulation of odd rows": NARROW(
        accumulation_of_rows, torch.float32, (13, 19, 11), into=torch.float32
    ),
    "tiny split accumulation": NARROW_SLICED(
        accumulation_of_rows, torch.float16, (150, 20, 30), into=torch.float16, splits=(1, 3)
    ),
    "tiny long sums": NARROW(long_sums),
    "tiny packed forward": WIDE(
        packed_forward, dtype=torch.float32, count=FEW, sizes=(20, 40), claimed=9
    ),
    "tiny packed forward by warps": WIDE_SLICED(
        packed_forward, dtype=torch.float32, count=(0, *FEW), sizes=(301, 8)
    ),
    "tiny packed backward": WIDE(packed_backward, dtype=torch.float16, count=FEW, sizes=(16, 24)),
    "tiny split packed backward": NARROW_SLICED(
        packed_backward, dtype=torch.float32, count=(150, 0, 40, 3), sizes=(20, 30), splits=(2, 3)
    ),
    "tiny packed forward of columns": WIDE(
        packed_forward, dtype=torch.float32, count=(5, 8, 3), sizes=(20, 40), transposed=True
    ),
    "tiny packed backward of columns": NARROW(
        packed_backward, dtype=torch.float32, count=(5, 8, 3), sizes=(20, 3), transposed=True
    ),
}
