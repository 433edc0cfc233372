"""Whether memory stays flat over a million calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Final, NamedTuple

import torch

import per_step_dense as psd

from .journal import Unit
from .kernels import ACTIVATION, random_inputs
from .task import Task

CALLS: Final = 1_000_000
STRETCHES: Final = 4  # a run that is cut repeats one at most

# Shapes that come up again and again, and between them far more than the plan cache has slots.
LAYERS: Final = ((10, 4, 8), (3, 67, 33), (5, 64, 64), (2, 130, 1))  # T, I, O
USUAL_BATCH: Final = 32
LARGEST_BATCH: Final = 160
DTYPES: Final = (torch.float32, torch.bfloat16)

# The host's memory is not the calls' alone: what a process may gain for other reasons, at all and
# for each call. A lost object takes 32 bytes at least.
SLACK_BYTES: Final = 4 << 20
SLACK_BYTES_A_CALL: Final = 16

Step = Callable[[], object]
"""One call of the forward, or of the forward and its backward."""


class Memory(NamedTuple):
    """Bytes: what torch's allocator has given out, what it holds, what the process does."""

    allocated: int
    reserved: int
    resident: int


Meter = Callable[[], Memory]


class Growth(AssertionError):
    """Memory that came and did not go."""


def tasks(device: torch.device) -> Iterator[Task]:
    """The million, in stretches."""
    for number in range(1, STRETCHES + 1):
        run = partial(soak, device, CALLS // STRETCHES)
        yield Task(f"stretch {number} of {STRETCHES}", run)


def figures(units: Collection[Unit]) -> dict[str, float]:
    """Calls of all stretches, a call's mean time, and what memory gained in any one of them."""
    found = [unit.figures for unit in units if unit.outcome == "passed"]
    if not found:
        return {}
    calls = sum(one["calls"] for one in found)
    seconds = sum(one["calls"] * one["us a call"] for one in found)
    return {
        "calls": calls,
        "us a call": round(seconds / calls, 2),
        "MB allocated": round(max(one["allocated after"] for one in found) / 1e6, 2),
        "MB gained by the GPU's": round(
            max(one["reserved after"] - one["reserved before"] for one in found) / 1e6, 2
        ),
        "MB gained by the host's": round(
            max(one["resident after"] - one["resident before"] for one in found) / 1e6, 2
        ),
    }


def soak(device: torch.device, calls: int) -> dict[str, float]:
    """Of this package's calls; see ``check_flat``."""
    steps = make_steps(device)
    with torch.random.fork_rng(devices=[]):
        return check_flat(steps, calls, partial(memory, device), partial(_wait, device))


def check_flat(
    steps: Sequence[Step], calls: int, meter: Meter, wait: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """So many calls of the steps in turns, with memory looked at before, halfway and after.

    Raises:
        Growth: where the allocator's has grown at all, or the host's by more than its slack.
    """
    for _ in range(2):  # what is set up by first calls, and where the allocator puts each size
        for step in steps:
            step()
    endless = cycle(steps)
    wait()
    before = meter()
    start = time.perf_counter()
    _call(endless, calls // 2, wait)
    halfway = meter()
    _call(endless, calls - calls // 2, wait)
    seconds = time.perf_counter() - start
    after = meter()
    _check_growth(before, halfway, after, calls)
    readings = {"before": before, "halfway": halfway, "after": after}
    return {
        "calls": calls,
        "us a call": seconds / calls * 1e6,
        **{
            f"{kind} {when}": size
            for when, reading in readings.items()
            for kind, size in reading._asdict().items()
        },
    }


def _check_growth(before: Memory, halfway: Memory, after: Memory, calls: int) -> None:
    allowed = Memory(0, 0, SLACK_BYTES + SLACK_BYTES_A_CALL * calls)
    for kind, first, middle, last, most in zip(
        Memory._fields, before, halfway, after, allowed, strict=True
    ):
        if max(middle, last) - first > most:
            raise Growth(
                f"{kind} memory: {first:,} bytes before, {middle:,} halfway through {calls:,} "
                f"calls, {last:,} after them; may grow by {most:,}"
            )


def make_steps(device: torch.device) -> list[Step]:
    """A cycle of calls: every second one of a usual shape, the other of one seen once a cycle;
    of three, two are forwards and one has a backward.
    """
    steps: list[Step] = []
    for dtype in DTYPES:
        for layer in LAYERS:
            make = partial(_step, layer, dtype, device)
            for batch in range(1, LARGEST_BATCH + 1):
                steps += [
                    make(USUAL_BATCH, with_backward=batch % 3 == 0),
                    make(batch, with_backward=batch % 3 == 1),
                ]
    return steps


def _step(
    layer: tuple[int, int, int],
    dtype: torch.dtype,
    device: torch.device,
    batch: int,
    *,
    with_backward: bool,
) -> Step:
    x, weight, bias, dy = random_inputs((batch, *layer), dtype, device)
    forward = partial(psd.per_step_dense, x, weight, bias, activation=ACTIVATION)
    if not with_backward:
        return forward
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    return lambda: torch.autograd.grad(forward(), (x, weight, bias), dy)


def memory(device: torch.device) -> Memory:
    """Now; on the CPU torch's allocator keeps no count."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = pages * os.sysconf("SC_PAGE_SIZE")
    if device.type != "cuda":
        return Memory(0, 0, resident)
    return Memory(torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device), resident)


def _call(steps: Iterator[Step], count: int, wait: Callable[[], None]) -> None:
    for step in islice(steps, count):
        step()
    wait()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
