"""Whether results are the same to the bit: repeated, on streams, from threads, in a graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final

import torch
from torch import Tensor

from ..precision import float32_products
from .journal import Unit
from .kernels import PASSES, Call, Kernel, PassName, Results, Sizes, kernels_on
from .task import Task, sums

# One tile and many with edges, long sums that are split, one output, many rows, unaligned rows.
SIZES: Final[tuple[Sizes, ...]] = (
    (1, 3, 8, 8),
    (32, 10, 4, 8),
    (200, 3, 136, 264),
    (70, 2, 1600, 72),
    (1030, 2, 40, 24),
    (50, 3, 900, 1),
    (131, 3, 67, 129),
)
SPLITS: Final = (0, 2)  # between so many blocks each sum; 0: as the chooser does
REPEATS: Final = 100
AT_ONCE: Final = 4  # streams, and threads
ROUNDS: Final = 5  # of these, and replays of a graph

_BITS: Final = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class DifferentBits(AssertionError):
    """What was computed before came out otherwise."""


def tasks(device: torch.device) -> Iterator[Task]:
    """One for each kernel and pass."""
    for kernel in kernels_on(device):
        for computed in PASSES:
            run = partial(check_kernel, kernel, computed, device)
            yield Task(f"{kernel.name} {computed}", run)


def figures(units: Collection[Unit]) -> dict[str, float]:
    """Of all tasks: kernels and passes, and calls that were compared."""
    return {"kernels and passes": len(units), **sums(units)}


def check_kernel(
    kernel: Kernel, computed: PassName, device: torch.device, repeats: int = REPEATS
) -> dict[str, float]:
    """Over all sizes that it takes.

    Raises:
        DifferentBits: where a result differs from the first call's.
        ValueError: where it takes none of the sizes.
    """
    calls, refusals = 0, []
    with float32_products(kernel.precision), torch.no_grad():
        for sizes in SIZES:
            for splits in SPLITS if kernel.tile is not None else SPLITS[:1]:
                call = kernel.call(computed, sizes, device, splits)
                try:
                    first = call()
                except ValueError as refusal:
                    refusals.append(refusal)
                    continue
                try:
                    calls += check_call(call, first, device, repeats)
                except DifferentBits as error:
                    raise DifferentBits(f"B, T, I, O = {sizes}, splits {splits}: {error}") from None
    if not calls:
        raise refusals[0]
    return {"calls": calls, "sizes refused": len(refusals)}


def check_call(call: Call, first: Results, device: torch.device, repeats: int = REPEATS) -> int:
    """Every way to repeat a call that the device has.

    Returns:
        How many calls were compared with the first.

    Raises:
        DifferentBits: where one of them differs.
    """
    for _ in range(repeats):
        compare(call(), first, "repeated")
    in_threads(call, first, device)
    count = repeats + AT_ONCE * ROUNDS
    if device.type == "cuda":
        on_streams(call, first, device)
        in_graph(call, first, device)
        count += AT_ONCE * ROUNDS + ROUNDS
    return count


def in_threads(call: Call, first: Results, device: torch.device) -> None:
    """Several that begin together; on CUDA each with a stream of its own, and noise beside them."""
    together = threading.Barrier(AT_ONCE)

    def work(number: int) -> None:
        together.wait()
        for _ in range(ROUNDS):
            compare(call(), first, f"in thread {number} of {AT_ONCE}")

    def work_on_a_stream(number: int) -> None:
        with torch.cuda.stream(_stream(device)):
            work(number)

    with _noise(device) as make_noise, ThreadPoolExecutor(AT_ONCE) as pool:
        make_noise()
        found = pool.map(work_on_a_stream if device.type == "cuda" else work, range(AT_ONCE))
        list(found)


def on_streams(call: Call, first: Results, device: torch.device) -> None:
    """Several at once, and noise on another: which blocks run first, and where, varies."""
    streams = [_stream(device) for _ in range(AT_ONCE)]
    with _noise(device) as make_noise:
        for _ in range(ROUNDS):
            make_noise()
            found = []
            for stream in streams:
                with torch.cuda.stream(stream):
                    found.append(call())
            torch.cuda.synchronize(device)
            for results in found:
                compare(results, first, f"on one of {AT_ONCE} streams at once")


def in_graph(call: Call, first: Results, device: torch.device) -> None:
    """Replayed, over outputs that hold something else."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(_stream(device)):
        call()  # what is set up by first calls cannot be captured
        torch.cuda.synchronize(device)
        # Not torch.cuda.graph, which collects garbage first: that takes long, thousands of times.
        graph.capture_begin()
        try:
            captured = call()
        finally:
            graph.capture_end()
    for _ in range(ROUNDS):
        for result in captured:
            if result is not None:
                result.fill_(torch.nan)
        graph.replay()
        compare(captured, first, "replayed in a graph")


def compare(found: Results, first: Results, how: str) -> None:
    """Bit by bit: NaN is NaN, and 0 is not -0.

    Raises:
        DifferentBits: where they are not the same.
    """
    for index, (mine, its) in enumerate(zip(found, first, strict=True)):
        if mine is None or its is None:
            if mine is not its:
                raise DifferentBits(f"{how}: result {index} is there once, and once not")
        elif not torch.equal(bits(mine), bits(its)):
            count = int((bits(mine) != bits(its)).sum())
            raise DifferentBits(
                f"{how}: result {index} differs in {count} of {its.numel()} elements"
            )


def bits(values: Tensor) -> Tensor:
    """As integers of the same size."""
    return values.contiguous().view(_BITS[values.element_size()])


def _stream(device: torch.device) -> torch.cuda.Stream:
    """Behind all that was asked for before."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    return stream


@contextmanager
def _noise(device: torch.device) -> Iterator[Callable[[], None]]:
    """Keeps multiprocessors and memory busy on a stream of its own; nothing on the CPU."""
    if device.type != "cuda":
        yield lambda: None
        return
    square = torch.randn(1024, 1024, device=device)
    large = torch.empty(2**24, device=device)
    stream = _stream(device)

    def make() -> None:
        with torch.cuda.stream(stream):
            for _ in range(4):
                square @ square
                large.normal_()

    try:
        yield make
    finally:
        torch.cuda.synchronize(device)  # or others get memory that it still writes
