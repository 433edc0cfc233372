"""Wall-clock time of calls on the CPU, the variants taking turns."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

import torch


@dataclass(frozen=True)
class Timing:
    """Microseconds a call: the median over rounds, and the span of the middle half of them."""

    median_us: float
    spread_us: float


def time_in_turns(
    variants: Mapping[str, Callable[[], object]], *, rounds: int, calls: int
) -> dict[str, Timing]:
    """Times every variant in every round, so that what disturbs the machine disturbs them alike.

    Args:
        variants: what to call, by name.
        rounds: how often each variant has its turn, after one turn that does not count.
        calls: calls a turn.
    """
    turns: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds + 1):
        for name, call in variants.items():
            start = time.perf_counter()
            for _ in range(calls):
                call()
            turns[name].append((time.perf_counter() - start) / calls * 1e6)
    timings = {}
    for name, (_, *counted) in turns.items():
        low, _, high = quantiles(counted, n=4)
        timings[name] = Timing(median(counted), high - low)
    return timings


def describe_machine() -> str:
    """One line that says what a figure was measured on."""
    return (
        f"{_cpu_name()}, {torch.get_num_threads()} thread(s), "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
