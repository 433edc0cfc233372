"""Many calls, one behind the other."""

from __future__ import annotations

import random
import resource
import time
import traceback
import warnings
from collections.abc import Callable

from .attempt import Outcome, attempt
from .calls import Call, draw_call
from .summary import Summary


def call_of(seed: int, index: int) -> Call:
    """The same, whenever it is asked for."""
    return draw_call(random.Random(f"{seed}:{index}"))


def fuzz(seed: int, indices: range, at: Callable[[int], None]) -> Summary:
    """Makes the calls; `at` is told of each before it is made."""
    summary = Summary(mb_before=peak_mb())
    start = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of layouts that it may change
        for index in indices:
            at(index)
            call = call_of(seed, index)
            try:
                outcome = attempt(call)
            except Exception:
                outcome = Outcome("WRONG", "", traceback.format_exc())
            summary.add(index, call, outcome)
    summary.seconds = time.monotonic() - start
    summary.mb = peak_mb()
    return summary


def peak_mb() -> float:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
