"""What the machine can do at most, measured on the spot: floors are made of it."""

from __future__ import annotations

import torch

from .precision import float32_products
from .record import Bandwidth, Ceilings, Clock
from .timing import Budget, Call, Stopwatch, stopwatches_of, take_turns

_MIB = 2**20
_BUDGET = Budget(seconds=0.5, most_turns=15)

# Working sets of copies: in a core's cache, in the cache of all, in memory.
_COPIES = {"cpu": (1 * _MIB, 16 * _MIB, 512 * _MIB), "cuda": (16 * _MIB, 2048 * _MIB)}
_PRODUCTS = {"cpu": 2048, "cuda": 8192}  # large enough to be bound by arithmetic


def measure_ceilings(device: torch.device, arithmetics: set[str]) -> Ceilings:
    """Copies of several sizes, one matrix product for each arithmetic, and an empty call."""
    stopwatches = stopwatches_of(device)
    busy = stopwatches[Clock.WALL if device.type == "cpu" else Clock.WARM]
    idle = stopwatches[Clock.WALL if device.type == "cpu" else Clock.EAGER]
    element = torch.zeros(1, device=device)
    graph = stopwatches.get(Clock.GRAPH)
    return Ceilings(
        copies=tuple(_copy(device, size, busy) for size in _COPIES[device.type]),
        tflops={name: _product(device, name, busy) for name in sorted(arithmetics)},
        launch_us=_microseconds(idle, lambda: element.add_(1)),
        graph_launch_us=None if graph is None else _microseconds(graph, lambda: element.add_(1)),
    )


def _copy(device: torch.device, working_set_bytes: int, stopwatch: Stopwatch) -> Bandwidth:
    source, target = (
        torch.zeros(working_set_bytes // 8, dtype=torch.float32, device=device) for _ in range(2)
    )
    us = _microseconds(stopwatch, lambda: target.copy_(source))
    return Bandwidth(working_set_bytes=working_set_bytes, gb_per_s=working_set_bytes / us / 1e3)


def _product(device: torch.device, arithmetic: str, stopwatch: Stopwatch) -> float:
    """TFLOP/s."""
    size = _PRODUCTS[device.type]
    dtype = torch.float32 if arithmetic == "tf32" else getattr(torch, arithmetic)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    with float32_products("tf32" if arithmetic == "tf32" else "ieee"):
        us = _microseconds(stopwatch, lambda: torch.mm(a, b))
    return 2 * size**3 / us / 1e6


def _microseconds(stopwatch: Stopwatch, call: Call) -> float:
    with stopwatch.preparing():
        turn = stopwatch.bind([call])
    (outcome,) = take_turns({"ceiling": turn}, _BUDGET).values()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.median_us
