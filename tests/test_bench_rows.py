"""What becomes of a row: of rivals that are right, wrong, missing, too large or too late?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

import per_step_dense as psd
from bench import row
from bench.cases import Case
from bench.record import Clock, Layout, Outcome, Pass, RivalResult, Row
from bench.rivals import RIVALS
from bench.rivals.base import Function, TorchRival
from bench.rivals.products import Baddbmm
from bench.timing import Budget, Stopwatch
from bench.workload import Workload

SHORT = Budget(seconds=0.01, turn_seconds=1e-4, most_turns=3)
CASE = Case("small", 5, 3, 4, 8, torch.float32, "this test")


class Stub(TorchRival):
    """A rival that does what a test wants."""

    def __init__(self, name: str, compute: Callable[..., Tensor]) -> None:
        self.name = name  # type: ignore[misc]
        self.compute = compute
        self.calls = 0

    def function(self, workload: Workload) -> Function:
        def counted(*arguments: Tensor) -> Tensor:
            self.calls += 1
            return self.compute(*arguments)

        return counted


class Missing(Stub):
    needs = ("no_such_module", "torch")
    install = "pip install no-such-module"


def right(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("bti,tio->bto", x, weight) + bias


def without_bias(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("bti,tio->bto", x, weight) + 0 * bias


def too_large(*arguments: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 EiB.\nmore")


def broken(*arguments: Tensor) -> Tensor:
    raise RuntimeError("no kernel image\nmore of it")


def measured(*rivals: TorchRival, computed: Pass = Pass.BOTH, seconds: float = 60) -> Row:
    work = Workload(CASE, torch.device("cpu"), computed, True, None)
    return row.measure_row(work, rivals, SHORT, seconds)


def outcomes(made: Row) -> dict[str, tuple[Outcome, str | None]]:
    return {result.rival: (result.outcome, result.reason) for result in made.results}


def test_every_rival_has_a_result_in_its_place() -> None:
    made = measured(
        Stub("right", right),
        Stub("wrong", without_bias),
        Missing("missing", right),
        Stub("too large", too_large),
        Stub("broken", broken),
        Stub("right again", right),
    )
    assert list(outcomes(made)) == [
        "right",
        "wrong",
        "missing",
        "too large",
        "broken",
        "right again",
    ]
    by_name = outcomes(made)
    assert by_name["right"] == by_name["right again"] == (Outcome.MEASURED, None)
    assert by_name["wrong"][0] is Outcome.WRONG and "y is off by" in (by_name["wrong"][1] or "")
    assert by_name["missing"] == (
        Outcome.NOT_INSTALLED,
        "needs no_such_module: pip install no-such-module",
    )
    assert by_name["too large"] == (
        Outcome.OUT_OF_MEMORY,
        "CUDA out of memory. Tried to allocate 1 EiB.",
    )
    assert by_name["broken"] == (Outcome.FAILED, "RuntimeError: no kernel image")


def test_deliberately_wrong_rival_is_never_timed() -> None:
    wrong = Stub("wrong", without_bias)
    (result,) = measured(wrong).results
    assert result.outcome is Outcome.WRONG
    assert wrong.calls == 1  # the gate's
    assert result.measurements == () and result.memory is None and result.error is None


def test_wrong_gradient_is_caught() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, y: Tensor) -> Tensor:
            return y.clone()

        @staticmethod
        def backward(ctx: object, dy: Tensor) -> Tensor:  # type: ignore[override]
            return 2 * dy

    wrong = Stub("wrong", lambda *arguments: Doubled.apply(right(*arguments)))
    (result,) = measured(wrong).results
    assert result.outcome is Outcome.WRONG and "dx is off by" in (result.reason or "")
    (result,) = measured(wrong, computed=Pass.FORWARD).results
    assert result.outcome is Outcome.MEASURED


def test_row_says_what_was_measured() -> None:
    made = measured(Stub("right", right), Baddbmm())
    assert made.key == ("small", "float32", Pass.BOTH, True, None)
    assert str(made.sizes) == "5,3,4,8"
    for result in made.results:
        assert result.error is not None and 0 < result.error < 1
        assert result.memory is not None
        # x, weight, bias and dy; dx, dweight and dbias
        given = 4 * (5 * 3 * 4 + 3 * 4 * 8 + 3 * 8 + 5 * 3 * 8)
        assert result.memory.tensors_bytes == given + 4 * (5 * 3 * 4 + 3 * 4 * 8 + 3 * 8)
        assert result.memory.peak_bytes >= result.memory.tensors_bytes
        for layout in Layout:
            timing = result.timing(Clock.WALL, layout)
            assert timing is not None and timing.turns == 3
            assert 0 < timing.low_us <= timing.median_us <= timing.high_us


def test_result_left_contiguous_is_timed_once() -> None:
    contiguous = Stub("contiguous", lambda *arguments: right(*arguments).contiguous())
    (result,) = measured(contiguous, computed=Pass.FORWARD).results
    assert [(m.clock, m.layout) for m in result.measurements] == [(Clock.WALL, Layout.CONTIGUOUS)]


def test_what_comes_too_late_says_so() -> None:
    late = Stub("right", right)
    made = measured(late, seconds=-1)
    reason = "half of the row's time was used up before"
    assert outcomes(made) == {"right": (Outcome.OUT_OF_TIME, reason)}
    assert late.calls == 0


def test_failure_in_front_of_one_clock_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(Stopwatch):
        def bind(self, calls: object) -> Callable[[int], float]:
            raise torch.OutOfMemoryError("too many buffers")

    class Ticks(Stopwatch):
        def bind(self, calls: object) -> Callable[[int], float]:
            return lambda count: 3.0

    watches = {Clock.COLD: Refuses(), Clock.WARM: Ticks()}
    monkeypatch.setattr(row, "stopwatches_of", lambda device: watches)
    (result,) = measured(Stub("right", right), computed=Pass.FORWARD).results
    assert result.outcome is Outcome.MEASURED
    warm = result.timing(Clock.WARM, Layout.CONTIGUOUS)
    assert warm is not None and warm.median_us == 3.0
    cold = [m for m in result.measurements if m.clock is Clock.COLD]
    assert all(m.timing is None and m.reason == "out of memory: too many buffers" for m in cold)

    monkeypatch.setattr(row, "stopwatches_of", lambda device: {Clock.COLD: Refuses()})
    (result,) = measured(Stub("right", right), computed=Pass.FORWARD).results
    assert (result.outcome, result.reason) == (Outcome.OUT_OF_MEMORY, "too many buffers")
    assert result.measurements == ()


def test_clocks_may_be_chosen() -> None:
    work = Workload(CASE, torch.device("cpu"), Pass.FORWARD, True, None)
    made = row.measure_row(work, [Stub("r", right)], SHORT, 60, clocks=(Clock.EAGER, Clock.WALL))
    assert {m.clock for m in made.results[0].measurements} == {Clock.WALL}


@pytest.fixture
def on_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Rows as on a GPU with so much memory, computed by the CPU."""
    memory = {"free": 1 << 30}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 0))
    monkeypatch.setattr(Workload, "device", SimpleNamespace(type="cuda"), raising=False)
    monkeypatch.setattr(Workload, "inputs", lambda self, seed=0: made_of(seed))
    monkeypatch.setattr(row, "Gate", lambda workload, inputs: None)
    yield memory


def made_of(seed: int) -> SimpleNamespace:
    tensor = torch.full((256,), float(seed))  # 1 KiB each of x, weight and dy
    return SimpleNamespace(x=tensor, weight=tensor, dy=tensor)


def test_cold_rounds_have_as_many_sets_as_memory_allows(on_cuda: dict[str, int]) -> None:
    work = object.__new__(Workload)
    for free, expected in ((1 << 30, 16), (8 * 3 * 1024 * 5, 5), (0, 2)):
        on_cuda["free"] = free
        sets, _ = row._prepare(work)
        assert [int(one.x[0]) for one in sets] == list(range(expected))


def test_kernel_is_the_one_that_explain_names() -> None:
    (ours,) = (rival for rival in RIVALS if rival.name == "per_step_dense")
    assert isinstance(ours, TorchRival)
    made = measured(ours)
    (result,) = made.results
    plan = psd.explain(torch.ones(5, 3, 4), torch.ones(3, 4, 8))
    assert isinstance(result, RivalResult) and result.kernel == plan.kernel
