"""Scenarios of the family `sm90` whose rows differ by step. Few multiprocessors, as there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from .packed import packed_backward, packed_forward
from .runs import Scenario
from .sm90 import BY_TURNS, HALF, SMALL, SMALL_OF_TF32, TF32

FEW = (5, 0, 70, 3, 0, 33)
AROUND_A_TILE = (129, 0, 64, 130)
MANY = tuple(int(t % 45 == 42) for t in range(1100))  # shares of the lanes exceed a round of them


def _packed(
    scenario: Callable[..., str],
    tile: int,
    count: Sequence[int],
    sizes: tuple[int, int],
    dtype: torch.dtype = HALF,
    sms: int = 2,
    splits: tuple[int, int] = (1, 1),
    **arguments: Any,
) -> Scenario:
    return partial(
        scenario,
        dtype=dtype,
        count=count,
        sizes=sizes,
        kernel="sm90",
        tf32=True,
        tile=tile,
        sms=sms,
        splits=splits,
        **arguments,
    )


SM90_ROW_RANGE_SCENARIOS: dict[str, Scenario] = {
    "sm90 packed forward": _packed(packed_forward, SMALL, FEW, (40, 72), claimed=9),
    "sm90 packed forward by turns": _packed(
        packed_forward, BY_TURNS, AROUND_A_TILE, (72, 136), gap=3, sms=1
    ),
    "sm90 packed forward of many steps": _packed(packed_forward, SMALL, MANY, (8, 8)),
    "sm90 packed forward of tf32": _packed(packed_forward, SMALL_OF_TF32, FEW, (40, 140), TF32),
    "sm90 packed backward": _packed(packed_backward, SMALL, FEW, (72, 40), gap=70, splits=(2, 3)),
    "sm90 packed backward by turns": _packed(
        packed_backward, BY_TURNS, AROUND_A_TILE, (72, 40), gap=3, sms=1
    ),
}
