"""Scenarios of the family `simt`."""

from __future__ import annotations

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
    forward_of_odd_rows,
    forward_of_odd_steps,
    forward_of_rows,
    forward_of_strides,
    long_sums,
)

LARGE: dict[str, Any] = {"kernel": "simt", "tile": 0}
MIDDLE: dict[str, Any] = {"kernel": "simt", "tile": 1}
SMALL: dict[str, Any] = {"kernel": "simt", "tile": 2}
FEW_ROWS: dict[str, Any] = {"kernel": "simt", "tile": 3}
UNSPLIT = (1, 1)

SIMT_SCENARIOS: dict[str, Scenario] = {
    "forward": partial(forward_of_strides, **MIDDLE, splits=UNSPLIT),
    "forward of vectors": partial(
        forward_of_rows, dtype=torch.float32, sizes=(70, 151, 69), pitch=4, **MIDDLE, splits=UNSPLIT
    ),
    "forward of 8-byte copies": partial(
        forward_of_rows, dtype=torch.bfloat16, sizes=(35, 99, 35), pitch=4, **SMALL, splits=UNSPLIT
    ),
    "forward of 16-bit elements": partial(
        forward_of_rows, dtype=torch.float16, sizes=(70, 75, 71), pitch=1, **MIDDLE, splits=UNSPLIT
    ),
    "misaligned forward": partial(forward_misaligned, **MIDDLE, splits=UNSPLIT),
    "forward of odd steps": partial(forward_of_odd_steps, **MIDDLE, splits=UNSPLIT),
    "forward of odd rows": partial(forward_of_odd_rows, **MIDDLE, splits=UNSPLIT),
    "forward into padded rows": partial(
        forward_of_strides, **MIDDLE, splits=UNSPLIT, outputs="padded"
    ),
    "backward into strided rows": partial(
        backward_of_windows, **MIDDLE, splits=UNSPLIT, outputs="strided"
    ),
    "backward": partial(backward_of_windows, **MIDDLE, splits=UNSPLIT),
    "backward of vectors": partial(
        backward_of_rows,
        dtype=torch.float64,
        sizes=(135, 130, 70),
        pitch=2,
        **LARGE,
        splits=UNSPLIT,
    ),
    "split forward": partial(
        forward_of_rows, dtype=torch.float32, sizes=(35, 149, 37), pitch=4, **SMALL, splits=(3, 1)
    ),
    "forward split into many parts": partial(
        forward_of_rows, dtype=torch.float32, sizes=(20, 190, 20), pitch=4, **SMALL, splits=(12, 1)
    ),
    "split backward": partial(
        backward_of_rows, dtype=torch.bfloat16, sizes=(150, 40, 70), pitch=8, **SMALL, splits=(2, 3)
    ),
    "accumulation": partial(
        accumulation_of_rows,
        dtype=torch.float32,
        sizes=(35, 37, 37),
        into=torch.float32,
        **SMALL,
        splits=UNSPLIT,
    ),
    "accumulation of 16 bits in float32": partial(
        accumulation_of_rows,
        dtype=torch.bfloat16,
        sizes=(35, 37, 40),
        into=torch.float32,
        **SMALL,
        splits=UNSPLIT,
    ),
    "split accumulation": partial(
        accumulation_of_rows,
        dtype=torch.bfloat16,
        sizes=(150, 40, 37),
        into=torch.float32,
        **SMALL,
        splits=(1, 3),
    ),
    "long sums": partial(long_sums, **SMALL, splits=UNSPLIT),
    "forward of few rows": partial(
        forward_of_rows,
        dtype=torch.float32,
        sizes=(13, 37, 131),
        pitch=1,
        **FEW_ROWS,
        splits=UNSPLIT,
    ),
    "backward of few rows": partial(
        backward_of_rows,
        dtype=torch.float32,
        sizes=(37, 13, 131),
        pitch=1,
        **FEW_ROWS,
        splits=UNSPLIT,
    ),
    "packed forward": partial(
        packed_forward,
        dtype=torch.float32,
        count=FEW,
        sizes=(40, 70),
        claimed=9,
        **MIDDLE,
        splits=UNSPLIT,
    ),
    "packed forward of many steps": partial(
        packed_forward, dtype=torch.float64, count=MANY, sizes=(5, 35), **SMALL, splits=UNSPLIT
    ),
    "packed backward": partial(
        packed_backward, dtype=torch.float32, count=FEW, sizes=(75, 40), **SMALL, splits=(1, 3)
    ),
}
