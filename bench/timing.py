"""Clocks, and how rivals take turns in front of them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch.utils import benchmark

from .record import Clock, Timing

Call = Callable[[], object]
Turn = Callable[[int], float]
"""Makes about so many calls; microseconds a call."""


class NoTimingError(RuntimeError):
    """A rival cannot be timed by a clock; the text says why."""


class Stopwatch(ABC):
    """One clock."""

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Calls that are to be timed are made within."""
        yield

    @abstractmethod
    def bind(self, calls: Sequence[Call]) -> Turn:
        """Turns of the calls, one after the other and from the start again."""


class WallStopwatch(Stopwatch):
    """torch.utils.benchmark, on as many threads as torch has now."""

    def bind(self, calls: Sequence[Call]) -> Turn:
        (call,) = calls
        timer = benchmark.Timer(
            "call()", globals={"call": call}, num_threads=torch.get_num_threads()
        )
        return lambda count: float(timer.timeit(count).median * 1e6)


class WarmStopwatch(Stopwatch):
    """CUDA events around calls that the GPU finds queued up, so that it never waits for the CPU."""

    def bind(self, calls: Sequence[Call]) -> Turn:
        (call,) = calls

        def turn(count: int) -> float:
            count = min(count, _QUEUED_CALLS)
            span = _Span()
            torch.cuda.synchronize()
            torch.cuda._sleep(_CYCLES_A_CALL * count)
            with span:
                for _ in range(count):
                    call()
            return span.microseconds() / count

        return turn


class ColdStopwatch(Stopwatch):
    """As WarmStopwatch, but what a call reads and writes is not in L2.

    Before each round of all calls something larger than L2 is read, and no two calls of a round
    share memory: their inputs differ, and each result is kept until its call comes round again.
    """

    def __init__(self, device: torch.device) -> None:
        l2_bytes = torch.cuda.get_device_properties(device).L2_cache_size
        self._filler = torch.zeros(2 * l2_bytes // 4, device=device)

    def bind(self, calls: Sequence[Call]) -> Turn:
        kept: list[object] = [None] * len(calls)

        def turn(count: int) -> float:
            spans = [_Span() for _ in range(max(1, min(count, _QUEUED_CALLS) // len(calls)))]
            torch.cuda.synchronize()
            torch.cuda._sleep(_CYCLES_A_CALL * len(calls) * len(spans))
            for span in spans:
                self._filler.sum()
                with span:
                    for slot, call in enumerate(calls):
                        kept[slot] = call()
            return sum(span.microseconds() for span in spans) / (len(spans) * len(calls))

        return turn


class GraphStopwatch(Stopwatch):
    """CUDA events around replays of a graph of calls."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        # A backward runs on the stream of its forward, which has to be the one that is captured.
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)

    def bind(self, calls: Sequence[Call]) -> Turn:
        (call,) = calls
        with torch.cuda.stream(self._stream):
            for _ in range(3):  # whatever is set up by first calls cannot be captured
                call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                for _ in range(_CALLS_A_GRAPH):
                    call()
        except RuntimeError as error:
            raise NoTimingError(f"no CUDA graph: {first_line(error)}") from error

        def turn(count: int) -> float:
            replays = max(1, round(count / _CALLS_A_GRAPH))
            span = _Span()
            torch.cuda.synchronize()
            with span:
                for _ in range(replays):
                    graph.replay()
            return span.microseconds() / (replays * _CALLS_A_GRAPH)

        return turn


class EagerStopwatch(Stopwatch):
    """The CPU's time until the calls return."""

    def bind(self, calls: Sequence[Call]) -> Turn:
        (call,) = calls

        def turn(count: int) -> float:
            count = min(count, _QUEUED_CALLS)  # a full queue would make the CPU wait
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(count):
                call()
            return (time.perf_counter() - start) / count * 1e6

        return turn


class _Span:
    """The GPU's time between two points of the current stream."""

    def __init__(self) -> None:
        self._start, self._end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def __enter__(self) -> None:
        self._start.record()

    def __exit__(self, *exception: object) -> None:
        self._end.record()

    def microseconds(self) -> float:
        """Waits for its end."""
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end) * 1e3)


_CYCLES_A_CALL = 100_000  # 50 us and more at 2 GHz and less: longer than any call's launches take
_QUEUED_CALLS = 100  # the driver queues about a thousand launches, and a call may have several
_CALLS_A_GRAPH = 20


def stopwatches_of(device: torch.device) -> dict[Clock, Stopwatch]:
    """The clocks that say something on the device."""
    if device.type == "cpu":
        return {Clock.WALL: WallStopwatch()}
    return {
        Clock.COLD: ColdStopwatch(device),
        Clock.WARM: WarmStopwatch(),
        Clock.GRAPH: GraphStopwatch(),
        Clock.EAGER: EagerStopwatch(),
    }


@dataclass(frozen=True)
class Budget:
    """How long a rival may be measured by one clock."""

    seconds: float
    """After which it has no more turns, once it had the least number."""
    turn_seconds: float = 0.02
    least_turns: int = 3
    most_turns: int = 40
    most_calls: int = 1000


FULL = Budget(seconds=0.4)
QUICK = Budget(seconds=0.1, turn_seconds=0.005, most_turns=10)


def take_turns(
    turns: Mapping[str, Turn], budget: Budget, is_late: Callable[[], bool] = lambda: False
) -> dict[str, Timing | Exception]:
    """Times every variant in every round, so that what disturbs the machine disturbs them alike.

    Args:
        turns: by name. One turn of one call, and one that sets the number of calls, do not count;
            where a call is long, one is both.
        budget: of each variant.
        is_late: whether nothing more may be begun.

    Returns:
        By name, the timing, or what was raised in place of one: ``TimeoutError`` where it got no
        turn in time.
    """
    outcomes: dict[str, Timing | Exception] = {}
    counts: dict[str, int] = {}
    spent: dict[str, float] = {}
    for name, turn in turns.items():
        if is_late():
            outcomes[name] = TimeoutError("the row's time was used up before")
            continue
        try:
            start = time.perf_counter()
            call_us = turn(1)
            if call_us < budget.turn_seconds * 1e6:
                start = time.perf_counter()
                call_us = turn(1)
            spent[name] = time.perf_counter() - start
        except Exception as error:
            outcomes[name] = error
            continue
        wanted = budget.turn_seconds * 1e6 / max(call_us, 1e-3)
        counts[name] = max(1, min(budget.most_calls, round(wanted)))

    taken: dict[str, list[float]] = {name: [] for name in counts}
    for _ in range(budget.most_turns):
        for name in list(counts):
            had = taken[name]
            has_enough = len(had) >= budget.least_turns
            if has_enough and (spent[name] > budget.seconds or is_late()):
                del counts[name]
                continue
            start = time.perf_counter()
            try:
                had.append(turns[name](counts[name]))
            except Exception as error:
                outcomes[name] = error
                del counts[name], taken[name]
                continue
            spent[name] += time.perf_counter() - start
    outcomes.update({name: summarize(had) for name, had in taken.items()})
    return {name: outcomes[name] for name in turns}


def summarize(turns_us: Sequence[float]) -> Timing:
    """The median and the quartiles of at least two turns."""
    low, _, high = quantiles(turns_us, n=4)
    return Timing(median_us=median(turns_us), low_us=low, high_us=high, turns=len(turns_us))


def median_us(outcome: Timing | Exception) -> float:
    """Of a variant that has to have a timing; raises what there is in place of one."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome.median_us


def first_line(error: BaseException) -> str:
    """Of its text, or its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
