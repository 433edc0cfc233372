"""What follows from a record and is never stored in it: work, floors, best rivals, speed-ups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .record import (
    Ceilings,
    Clock,
    Layout,
    Machine,
    Memory,
    Outcome,
    Pass,
    RivalResult,
    Row,
    Timing,
)
from .rivals import OURS

_ITEM_BYTES: Final = {"float16": 2, "bfloat16": 2, "float32": 4, "tf32": 4, "float64": 8}

OURS_COMPILED: Final = f"torch.compile({OURS})"


class Bound(str, Enum):
    """What keeps a call from being faster than its floor."""

    LAUNCH = "launch"
    MEMORY = "memory"
    COMPUTE = "compute"


@dataclass(frozen=True)
class Floor:
    """The least time that the machine's ceilings allow."""

    us: float
    bound: Bound


@dataclass(frozen=True)
class Best:
    """The fastest of several rivals."""

    rival: str
    timing: Timing


# Work


def flops(row: Row) -> int:
    """One product of x and weight forward, two backward; additions and activations do not count.

    Of rows that exist: padding is no work.
    """
    return _flops(row, row.sizes.real_rows)


def padded_flops(row: Row) -> int:
    """What they are for whoever computes the padding as well."""
    return _flops(row, row.sizes.padded_rows)


def share_of_rows(row: Row) -> float:
    """Those that exist, of the padded batch's."""
    return row.sizes.real_rows / row.sizes.padded_rows


def least_bytes(row: Row) -> int:
    """Every argument read once, every result written once; of padding, nothing.

    Forward: x, weight, bias, y. Backward: dy, x, weight, and the gradients of x, weight and bias.
    Both: the sum.
    """
    sizes = row.sizes
    rows = sizes.batch * sizes.in_steps if sizes.rows is None else sizes.rows
    x = rows * sizes.in_features
    weight = sizes.steps * sizes.window_size * sizes.out_features
    bias = sizes.steps * sizes.out_features if row.has_bias else 0
    y = sizes.real_rows * sizes.out_features
    forward = x + weight + bias + y
    backward = (y + x + weight) + (x + weight + bias)
    elements = {Pass.BACKWARD: backward, Pass.BOTH: forward + backward}.get(row.computed, forward)
    return elements * _ITEM_BYTES[row.arithmetic]


def windows_bytes(row: Row) -> int:
    """Of a copy of what every step sees."""
    sizes = row.sizes
    return sizes.batch * sizes.steps * sizes.window_size * _ITEM_BYTES[row.arithmetic]


def gflop_per_s(row: Row, timing: Timing) -> float:
    """Of the products alone."""
    return flops(row) / timing.median_us / 1e3


def gb_per_s(row: Row, timing: Timing) -> float:
    """Of the least bytes."""
    return least_bytes(row) / timing.median_us / 1e3


def memory_ratio(memory: Memory) -> float:
    """The peak over what no call can do without."""
    return memory.peak_bytes / memory.tensors_bytes


# Floors


def floor(row: Row, ceilings: Ceilings, clock: Clock) -> Floor | None:
    """The longest of products, bytes and launch; None where a ceiling was not measured."""
    tflops = ceilings.tflops.get(row.arithmetic)
    size = least_bytes(row)
    bandwidth = copy_gb_per_s(ceilings, size)
    if tflops is None or bandwidth is None:
        return None
    us = {
        Bound.COMPUTE: flops(row) / tflops / 1e6,
        Bound.MEMORY: size / bandwidth / 1e3,
        Bound.LAUNCH: launch_us(ceilings, clock),
    }
    bound = max(us, key=us.__getitem__)
    return Floor(us[bound], bound)


def copy_gb_per_s(ceilings: Ceilings, size: int) -> float | None:
    """Of the smallest measured working set that holds so many bytes, else of the largest one."""
    copies = sorted(ceilings.copies, key=lambda copy: copy.working_set_bytes)
    holding = [copy for copy in copies if copy.working_set_bytes >= size]
    chosen = (holding or copies[-1:])[:1]
    return chosen[0].gb_per_s if chosen else None


def launch_us(ceilings: Ceilings, clock: Clock) -> float:
    """Of one call: the graph's where the clock sees the GPU alone, else the CPU's part too."""
    is_gpu_alone = clock in (Clock.COLD, Clock.WARM, Clock.GRAPH)
    if is_gpu_alone and ceilings.graph_launch_us is not None:
        return ceilings.graph_launch_us
    return ceilings.launch_us


# Rivals


def is_ours(name: str) -> bool:
    """Whether it is the package's function, its op or a compiled form of them."""
    return OURS in name


def is_compiled(name: str) -> bool:
    """Whether the call goes through torch.compile."""
    return name.startswith("torch.compile(")


def headline_clock(machine: Machine) -> Clock:
    """What tables are about unless they say otherwise."""
    return Clock.COLD if machine.device == "cuda" else Clock.WALL


def overhead_clock(machine: Machine) -> Clock:
    """What a call costs the CPU."""
    return Clock.EAGER if machine.device == "cuda" else Clock.WALL


def result_of(row: Row, name: str = OURS) -> RivalResult | None:
    """None where it did not take part."""
    return next((result for result in row.results if result.rival == name), None)


def time_of(result: RivalResult | None, clock: Clock, layout: Layout) -> Timing | None:
    """The rival's time for results in the layout; None where there is none.

    A rival that leaves its result contiguous anyway is measured once, as CONTIGUOUS: as it leaves
    the result, it takes the same time.
    """
    if result is None or result.outcome is not Outcome.MEASURED:
        return None
    if layout is Layout.AS_LEFT and not _is_measured_as_left(result, clock):
        layout = Layout.CONTIGUOUS
    return result.timing(clock, layout)


def best_rival(
    row: Row,
    clock: Clock,
    layout: Layout = Layout.CONTIGUOUS,
    takes_part: Callable[[str], bool] = lambda name: True,
) -> Best | None:
    """The fastest measured one that is not ours, of those whose names take part."""
    timed = [
        Best(result.rival, timing)
        for result in row.results
        if not is_ours(result.rival) and takes_part(result.rival)
        if (timing := time_of(result, clock, layout)) is not None
    ]
    return min(timed, key=lambda best: best.timing.median_us, default=None)


def speed_up(row: Row, clock: Clock, layout: Layout = Layout.CONTIGUOUS) -> float | None:
    """The best rival's time over ours; None where either is missing."""
    ours, best = time_of(result_of(row), clock, layout), best_rival(row, clock, layout)
    return None if ours is None or best is None else best.timing.median_us / ours.median_us


def _is_measured_as_left(result: RivalResult, clock: Clock) -> bool:
    return any(
        (measurement.clock, measurement.layout) == (clock, Layout.AS_LEFT)
        for measurement in result.measurements
    )


def _flops(row: Row, rows: int) -> int:
    products = {Pass.BACKWARD: 2, Pass.BOTH: 3}.get(row.computed, 1)
    return products * 2 * rows * row.sizes.window_size * row.sizes.out_features
