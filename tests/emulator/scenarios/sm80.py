"""Scenarios of the family `sm80`. In float32 its products are of tfloat32."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from .packed import FEW, MANY, packed_backward, packed_forward
from .runs import (
    Scenario,
    accumulation_of_rows,
    backward_of_rows,
    backward_of_windows,
    forward_misaligned,
    forward_of_odd_steps,
    forward_of_rows,
    forward_of_strides,
    long_column_sums,
)

LARGE, TALL, SMALL, NARROW, SKINNY_32, SKINNY_16 = range(6)
HALF, BRAIN, TF32 = torch.float16, torch.bfloat16, torch.float32


def _of_sm80(
    scenario: Callable[..., str], tile: int, splits: tuple[int, int] = (1, 1), **arguments: Any
) -> Scenario:
    return partial(scenario, kernel="sm80", tile=tile, splits=splits, tf32=True, **arguments)


def _rows(
    scenario: Callable[..., str],
    tile: int,
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    pitch: int,
    **arguments: Any,
) -> Scenario:
    return _of_sm80(scenario, tile, dtype=dtype, sizes=sizes, pitch=pitch, **arguments)


PRODUCT_SCENARIOS: dict[str, Scenario] = {
    "sm80 forward": _rows(forward_of_rows, SMALL, HALF, (70, 151, 69), 8),
    "sm80 forward of tf32": _rows(forward_of_rows, SMALL, TF32, (70, 75, 69), 4),
    "sm80 forward of bfloat16": _rows(forward_of_rows, SMALL, BRAIN, (40, 75, 40), 8),
    "sm80 forward of 8-byte copies": _rows(forward_of_rows, SMALL, HALF, (70, 75, 71), 4),
    "sm80 forward of odd elements": _rows(forward_of_rows, SMALL, HALF, (70, 75, 71), 1),
    "sm80 forward of strides": _of_sm80(forward_of_strides, TALL),
    "sm80 forward of 16-bit strides": _of_sm80(forward_of_strides, SMALL, dtype=HALF),
    "sm80 misaligned forward": _of_sm80(forward_misaligned, SMALL),
    "sm80 forward of odd steps": _of_sm80(forward_of_odd_steps, SMALL),
    "sm80 forward by large tiles": _rows(forward_of_rows, LARGE, HALF, (140, 40, 140), 8),
    "sm80 forward by large tiles of tf32": _rows(forward_of_rows, LARGE, TF32, (140, 20, 140), 4),
    "sm80 forward by tall tiles": _rows(forward_of_rows, TALL, HALF, (140, 40, 70), 8),
    "sm80 forward of few rows": _rows(forward_of_rows, SKINNY_16, HALF, (20, 200, 140), 8),
    "sm80 forward into vectors": _rows(forward_of_rows, SMALL, HALF, (70, 40, 72), 8),
    "sm80 forward into 8 bytes": _rows(forward_of_rows, NARROW, HALF, (140, 40, 44), 8),
    "sm80 forward into pairs": _rows(forward_of_rows, LARGE, BRAIN, (140, 40, 138), 8),
    "sm80 forward into 8 bytes of tf32": _rows(forward_of_rows, SMALL, TF32, (70, 20, 70), 4),
    "sm80 forward with z in strided rows": _rows(
        forward_of_rows, SMALL, HALF, (70, 40, 72), 8, outputs_of_z="strided"
    ),
    "sm80 forward into padded rows": _rows(
        forward_of_rows, SMALL, HALF, (70, 40, 69), 8, outputs="padded"
    ),
    "sm80 forward into spaced rows": _rows(
        forward_of_rows, SMALL, HALF, (70, 40, 72), 8, outputs="spaced"
    ),
    "sm80 backward": _rows(backward_of_rows, SMALL, HALF, (140, 75, 69), 8),
    "sm80 backward into spaced rows": _rows(
        backward_of_rows, SMALL, HALF, (70, 40, 72), 8, outputs="spaced"
    ),
    "sm80 backward of tf32": _rows(backward_of_rows, SMALL, TF32, (75, 70, 69), 4),
    "sm80 backward of odd elements": _rows(backward_of_rows, SMALL, HALF, (70, 75, 71), 1),
    "sm80 backward of windows": _of_sm80(backward_of_windows, NARROW, outputs="strided"),
    "sm80 backward of few rows": _rows(backward_of_rows, SKINNY_16, HALF, (37, 130, 140), 8),
    "sm80 backward by narrow tiles": _rows(backward_of_rows, NARROW, TF32, (140, 40, 70), 4),
    "sm80 split forward": _rows(forward_of_rows, SMALL, HALF, (35, 149, 37), 8, splits=(3, 1)),
    "sm80 split backward": _rows(backward_of_rows, SMALL, HALF, (150, 40, 70), 8, splits=(2, 3)),
    "sm80 accumulation": _of_sm80(
        accumulation_of_rows, SMALL, dtype=HALF, sizes=(70, 75, 69), into=torch.float32
    ),
    "sm80 accumulation into strided rows": _of_sm80(
        accumulation_of_rows, SMALL, dtype=HALF, sizes=(70, 40, 69), into=HALF, outputs="strided"
    ),
    "sm80 accumulation into pairs": _of_sm80(
        accumulation_of_rows, SMALL, dtype=BRAIN, sizes=(70, 40, 70), into=BRAIN
    ),
    "sm80 split accumulation": _of_sm80(
        accumulation_of_rows, SMALL, (1, 3), dtype=HALF, sizes=(150, 40, 72), into=HALF
    ),
    "sm80 long column sums": _of_sm80(long_column_sums, LARGE),
}
PACKED_SCENARIOS: dict[str, Scenario] = {
    "sm80 packed forward": _of_sm80(
        packed_forward, SMALL, dtype=HALF, count=FEW, sizes=(40, 70), claimed=9
    ),
    "sm80 packed forward of many steps": _of_sm80(
        packed_forward, SKINNY_16, dtype=TF32, count=MANY, sizes=(5, 140)
    ),
    "sm80 packed backward": _of_sm80(
        packed_backward, SMALL, dtype=HALF, count=FEW, sizes=(75, 40), splits=(1, 3)
    ),
    "sm80 packed backward of tf32": _of_sm80(
        packed_backward, SKINNY_32, dtype=TF32, count=FEW, sizes=(40, 40)
    ),
}
SM80_SCENARIOS = {**PRODUCT_SCENARIOS, **PACKED_SCENARIOS}
