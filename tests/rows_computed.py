"""Which rows of a batch ATen's products multiply, as torch's profiler saw them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from torch.profiler import ProfilerActivity, profile

# Where the two factors are among an event's arguments.
FACTORS = {"aten::bmm": (0, 1), "aten::mm": (0, 1), "aten::baddbmm": (1, 2), "aten::addmm": (1, 2)}


def rows_in_products(run: Callable[[], Any], multiplications_a_row: int) -> tuple[Any, float]:
    """What it returns, and of how many rows its products are."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True) as seen:
        result = run()
    multiplied = 0
    for event in seen.events():
        if event.name in FACTORS:
            one, other = (event.input_shapes[place] for place in FACTORS[event.name])
            multiplied += prod(one) * other[-1]
    return result, multiplied / multiplications_a_row
