"""Do rivals take turns, and do the clocks time what they say?"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench import timing
from bench.memory import Tracker
from bench.record import Clock, Timing
from bench.timing import (
    Budget,
    ColdStopwatch,
    EagerStopwatch,
    GraphStopwatch,
    NoTimingError,
    WallStopwatch,
    WarmStopwatch,
    stopwatches_of,
    summarize,
    take_turns,
)

BUDGET = Budget(seconds=10, turn_seconds=1e-3, most_turns=5, most_calls=7)


def test_rivals_take_turns_in_every_round() -> None:
    log: list[tuple[str, int]] = []

    def turn_of(name: str, us: float) -> Callable[[int], float]:
        return lambda count: log.append((name, count)) or us

    outcomes = take_turns({"a": turn_of("a", 500.0), "b": turn_of("b", 10.0)}, BUDGET)
    assert log[:4] == [("a", 1), ("a", 1), ("b", 1), ("b", 1)]  # none of these counts
    # A millisecond a turn: two calls of the one; of the other as many as are allowed.
    assert log[4:] == [("a", 2), ("b", 7)] * 5
    assert outcomes == {
        "a": Timing(median_us=500, low_us=500, high_us=500, turns=5),
        "b": Timing(median_us=10, low_us=10, high_us=10, turns=5),
    }


def test_slow_rival_has_the_least_number_of_turns() -> None:
    def slow(count: int) -> float:
        time.sleep(0.5)
        return 1e6

    outcomes = take_turns(
        {"slow": slow, "quick": lambda count: 1.0}, Budget(seconds=0.4, most_turns=9)
    )
    slow_timing, quick_timing = outcomes["slow"], outcomes["quick"]
    assert isinstance(slow_timing, Timing) and isinstance(quick_timing, Timing)
    assert (slow_timing.turns, quick_timing.turns) == (3, 9)


def test_what_one_rival_raises_is_its_own() -> None:
    turns_left = iter(range(4))

    def fails_in_the_third_round(count: int) -> float:
        if next(turns_left, None) is None:
            raise torch.OutOfMemoryError("no memory left")
        return 1.0

    def fails_at_once(count: int) -> float:
        raise RuntimeError("no such kernel")

    outcomes = take_turns(
        {"late": fails_in_the_third_round, "never": fails_at_once, "fine": lambda count: 2.0},
        BUDGET,
    )
    assert isinstance(outcomes["late"], torch.OutOfMemoryError)
    assert str(outcomes["never"]) == "no such kernel"
    assert isinstance(outcomes["fine"], Timing) and outcomes["fine"].turns == 5
    assert list(outcomes) == ["late", "never", "fine"]


def test_nothing_is_begun_late() -> None:
    outcomes = take_turns({"a": lambda count: 1.0}, BUDGET, is_late=lambda: True)
    assert isinstance(outcomes["a"], TimeoutError)


def test_median_and_quartiles() -> None:
    assert summarize([5, 1, 2, 4, 3]) == Timing(median_us=3, low_us=1.5, high_us=4.5, turns=5)
    assert summarize([5, 1, 2, 4, 3]).spread_us == 3


def test_wall_clock_measures_a_call() -> None:
    turn = WallStopwatch().bind([lambda: time.sleep(0.01)])
    assert 10_000 <= turn(2) < 10_000_000  # in microseconds; how busy the machine is, nobody knows
    assert list(stopwatches_of(torch.device("cpu"))) == [Clock.WALL]


# The clocks of CUDA, on a GPU of these tests' own: a call takes as long as it says.


class Gpu:
    """Stands in for torch.cuda: a queue that works at once, and logs."""

    def __init__(self) -> None:
        self.now_us = 0.0
        self.log: list[str] = []
        self.is_capturing = False
        self.captured: list[str] = []
        self.refuses_to_capture = False

    def run(self, name: str, us: float) -> str:
        if self.is_capturing:
            self.captured.append(name)
        else:
            self.log.append(name)
            self.now_us += us
        return name

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def _sleep(self, cycles: int) -> None:
        self.run("sleep", cycles)

    def get_device_properties(self, device: object) -> SimpleNamespace:
        return SimpleNamespace(L2_cache_size=4096)

    def current_stream(self) -> Stream:
        return Stream()

    def Stream(self) -> Stream:
        return Stream()

    def stream(self, stream: Stream) -> Stream:
        return stream

    def Event(self, enable_timing: bool) -> Event:
        assert enable_timing
        return Event(self)

    def CUDAGraph(self) -> Graph:
        return Graph(self)

    def graph(self, graph: Graph, stream: Stream) -> Graph:
        return graph


class Stream:
    def wait_stream(self, other: Stream) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.at_us = float("nan")

    def record(self) -> None:
        self.at_us = self.gpu.now_us

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: Event) -> float:
        return (end.at_us - self.at_us) / 1e3  # milliseconds


class Graph:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def __enter__(self) -> None:
        if self.gpu.refuses_to_capture:
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
        self.gpu.is_capturing = True

    def __exit__(self, *exception: object) -> None:
        self.gpu.is_capturing = False

    def replay(self) -> None:
        for name in self.gpu.captured:
            self.gpu.run(f"replayed {name}", 2.0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    gpu = Gpu()
    monkeypatch.setattr(torch, "cuda", gpu)
    zeros = SimpleNamespace(sum=lambda: gpu.run("filler", 1e6))
    monkeypatch.setattr(timing.torch, "zeros", lambda size, device: zeros)
    return gpu


def test_warm_times_the_calls_alone(fake: Gpu) -> None:
    turn = WarmStopwatch().bind([lambda: fake.run("call", 5.0)])
    assert turn(3) == pytest.approx(5.0)
    assert fake.log == ["synchronize", "sleep", "call", "call", "call"]
    turn(10_000)
    assert fake.log.count("call") == 3 + 100  # as many as can be queued up


def test_cold_rotates_and_refills_the_cache(fake: Gpu) -> None:
    calls = [lambda n=n: fake.run(f"call {n}", 4.0 + n) for n in range(3)]
    turn = ColdStopwatch(torch.device("cuda")).bind(calls)
    assert turn(6) == pytest.approx(5.0)
    a_round = ["filler", "call 0", "call 1", "call 2"]
    assert fake.log == ["synchronize", "sleep", *a_round, *a_round]


def test_cold_keeps_results_until_their_call_comes_again(fake: Gpu) -> None:
    class Result:
        alive = 0

        def __init__(self) -> None:
            Result.alive += 1

        def __del__(self) -> None:
            Result.alive -= 1

    alive: list[int] = []

    def call() -> Result:
        alive.append(Result.alive)
        return Result()

    ColdStopwatch(torch.device("cuda")).bind([call] * 3)(9)
    assert alive == [0, 1, 2, 3, 3, 3, 3, 3, 3]


def test_graph_replays_what_was_captured(fake: Gpu) -> None:
    watch = GraphStopwatch()
    with watch.preparing():
        call = lambda: fake.run("call", 50.0)  # noqa: E731
    turn = watch.bind([call])
    assert fake.log == ["call"] * 3 + ["synchronize"] and fake.captured == ["call"] * 20
    assert turn(40) == pytest.approx(2.0)
    assert fake.log.count("replayed call") == 40


def test_graph_that_cannot_be_captured_says_so(fake: Gpu) -> None:
    fake.refuses_to_capture = True
    with pytest.raises(NoTimingError) as raised:
        GraphStopwatch().bind([lambda: fake.run("call", 1.0)])
    text = "no CUDA graph: operation not permitted when stream is capturing"
    assert str(raised.value) == text


def test_eager_does_not_wait_for_the_gpu(fake: Gpu) -> None:
    turn = EagerStopwatch().bind([lambda: fake.run("call", 1e9)])
    assert turn(3) < 1e8
    assert fake.log == ["synchronize", "call", "call", "call"]


def test_clocks_of_cuda(fake: Gpu) -> None:
    watches = stopwatches_of(torch.device("cuda"))
    assert list(watches) == [Clock.COLD, Clock.WARM, Clock.GRAPH, Clock.EAGER]


# Memory


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_peak_counts_what_is_held_at_one_time(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "cuda":
        request.getfixturevalue("gpu")
    device = torch.device(kind)
    size = 1 << 20  # of the allocator's units a multiple

    def call() -> torch.Tensor:
        first = torch.ones(size, device=device)
        second = first + 1
        del first
        return second.to(torch.float64)  # two more

    call()
    peak, results = Tracker(device).peak_and_results(call)
    assert peak == (1 + 2) * 4 * size
    assert results == 8 * size
