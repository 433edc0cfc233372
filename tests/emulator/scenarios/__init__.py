"""Runs of the package's kernels that tell whether a fault planted in them shows.

A scenario runs one operation under one schedule and says what is wrong with the result, or nothing.
Its arguments are chosen so that the code it is about runs: strides that allow copies of one width,
edges inside a tile, sums that are split.
"""

from __future__ import annotations

from .runs import Scenario, activation_backward, relative_error
from .simt import SIMT_SCENARIOS
from .sm80 import SM80_SCENARIOS
from .sm90 import SM90_SCENARIOS
from .sm90_backward import SM90_BACKWARD_SCENARIOS
from .sm90_row_ranges import SM90_ROW_RANGE_SCENARIOS
from .tiny import TINY_SCENARIOS

SCENARIOS: dict[str, Scenario] = {
    **SIMT_SCENARIOS,
    **TINY_SCENARIOS,
    **SM80_SCENARIOS,
    **SM90_SCENARIOS,
    **SM90_BACKWARD_SCENARIOS,
    **SM90_ROW_RANGE_SCENARIOS,
    "activation_backward": activation_backward,
}

__all__ = [
    "SCENARIOS",
    "SIMT_SCENARIOS",
    "SM80_SCENARIOS",
    "SM90_BACKWARD_SCENARIOS",
    "Scenario",
    "relative_error",
]
