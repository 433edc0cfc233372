"""Do the sweeps of tools/gpu_check find what they are for? On the CPU, a few calls of each.

Long, for determinism, batch invariance and the soak are caught out by the same spoilt layers.
"""

from __future__ import annotations

import itertools
import math
import mmap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

for _package in ("pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

import per_step_dense as psd
from bench.gpu_check import batch_invariance, context, determinism, kernels, soak
from bench.gpu_check.determinism import DifferentBits, check_call, check_kernel, compare
from bench.gpu_check.journal import Journal, Progress, Unit
from bench.gpu_check.kernels import Kernel, kernels_on
from bench.gpu_check.soak import Growth, Memory, check_flat
from bench.gpu_check.sweep import SWEEPS, SweepPart, do_tasks, main
from bench.gpu_check.task import Task
from per_step_dense import _ops

CPU = torch.device("cpu")
F32 = torch.float32
AUTO = Kernel(kernels.AUTO, None, F32, "ieee")

needs_ops = pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")


# Which kernels


@pytest.mark.skipif(not _ops.has_cuda_kernels, reason="needs a build with CUDA kernels")
def test_every_tile_is_swept() -> None:
    from test_every_tile import KERNELS

    swept = [
        kernel for kernel in kernels_on(torch.device("meta"), "sm_90") if kernel.tile is not None
    ]
    assert sorted(kernel.name for kernel in swept) == sorted(str(one.id) for one in KERNELS)


def test_the_cpu_has_what_it_chooses() -> None:
    names = [kernel.name for kernel in kernels_on(CPU)]
    assert names == ["auto-float32", "auto-float64", "auto-float16", "auto-bfloat16"]


# Determinism


@needs_ops
def test_the_cpu_is_deterministic() -> None:
    names = []
    for task in determinism.tasks(CPU):
        if "float32" in task.name or "bfloat16 backward" in task.name:
            names.append(task.name)
            kernel = Kernel(
                kernels.AUTO, None, F32 if "32" in task.name else torch.bfloat16, "ieee"
            )
            found = check_kernel(kernel, task.name.split()[1], CPU, repeats=2)
            assert found == {"calls": len(determinism.SIZES) * 22, "sizes refused": 0}
    assert names == ["auto-float32 forward", "auto-float32 backward", "auto-bfloat16 backward"]


class Drifting:
    """Gives something else from one call on: by an ulp, in one element of the second result."""

    def __init__(self, wrong_from: float) -> None:
        self.calls = itertools.count(1)
        self.wrong_from = wrong_from

    def __call__(self) -> tuple[Tensor, Tensor, None]:
        right, wrong = torch.zeros(3), torch.ones(4)
        if next(self.calls) >= self.wrong_from:
            wrong[2] = torch.nextafter(wrong[2], torch.tensor(2.0))
        return right, wrong, None


def test_a_repeat_that_differs_is_caught() -> None:
    call = Drifting(wrong_from=30)
    with pytest.raises(DifferentBits, match="repeated: result 1 differs in 1 of 4 elements"):
        check_call(call, call(), CPU, repeats=40)
    call = Drifting(wrong_from=math.inf)
    assert check_call(call, call(), CPU, repeats=40) == 60


def test_a_thread_that_differs_is_caught() -> None:
    def call() -> tuple[Tensor]:
        return (torch.full((2,), float(threading.current_thread() is threading.main_thread())),)

    with pytest.raises(DifferentBits, match=r"in thread \d of 4: result 0 differs in 2 of 2"):
        check_call(call, call(), CPU, repeats=3)


@needs_ops
def test_what_differs_is_told_with_its_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "call", lambda *_: Drifting(wrong_from=5))
    with pytest.raises(DifferentBits, match=r"B, T, I, O = \(1, 3, 8, 8\), splits 0: repeated"):
        check_kernel(AUTO, "forward", CPU)


def test_a_kernel_that_takes_nothing_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[Tensor]:
        raise ValueError("not of these sizes")

    monkeypatch.setattr(Kernel, "call", lambda *_: refuse)
    with pytest.raises(ValueError, match="not of these sizes"):
        check_kernel(AUTO, "forward", CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_bits_are_compared(dtype: torch.dtype) -> None:
    values = torch.tensor([0.0, math.nan, 1.0], dtype=dtype)
    compare((values, None), (values.clone(), None), "again")
    with pytest.raises(DifferentBits, match="again: result 0 differs in 1 of 3 elements"):
        compare((values,), (torch.tensor([-0.0, math.nan, 1.0], dtype=dtype),), "again")
    with pytest.raises(DifferentBits, match="result 1 is there once, and once not"):
        compare((values, None), (values, values), "again")


class Stream:
    """A stand-in: what is asked of it is done at once."""

    def __init__(self, device: torch.device) -> None:
        pass

    def wait_stream(self, other: object) -> None:
        pass


class Graph:
    """Of what is captured by ``recorded``; its replay does it again, if it is to."""

    replays = True
    captured: tuple[Tensor, ...] = ()
    right: tuple[Tensor, ...] = ()

    def capture_begin(self) -> None:
        pass

    def capture_end(self) -> None:
        pass

    def replay(self) -> None:
        if Graph.replays:
            for mine, its in zip(Graph.captured, Graph.right, strict=True):
                mine.copy_(its)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those ways to repeat a call that only CUDA has, on a device that is the CPU."""
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(Graph, "replays", True)


def recorded() -> tuple[Tensor, ...]:
    Graph.right = (torch.ones(3), torch.ones(2))
    Graph.captured = tuple(value.clone() for value in Graph.right)
    return Graph.captured


@pytest.mark.usefixtures("streams")
def test_a_stream_that_differs_is_caught() -> None:
    call = Drifting(wrong_from=math.inf)
    determinism.on_streams(call, call(), CPU)
    assert next(call.calls) == 1 + 1 + determinism.AT_ONCE * determinism.ROUNDS
    call = Drifting(wrong_from=12)
    with pytest.raises(DifferentBits, match="on one of 4 streams at once: result 1"):
        determinism.on_streams(call, call(), CPU)


@pytest.mark.usefixtures("streams")
def test_a_graph_that_computes_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    determinism.in_graph(recorded, recorded(), CPU)
    first = tuple(value.clone() for value in recorded())
    monkeypatch.setattr(Graph, "replays", False)
    with pytest.raises(DifferentBits, match="replayed in a graph: result 0 differs in 3 of 3"):
        determinism.in_graph(recorded, first, CPU)


# Batch invariance


def test_a_batch_invariant_layer_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of a fixed order: the batch's size is nothing to them."""
    monkeypatch.setattr(psd, "batch_invariant", nullcontext)
    monkeypatch.setattr(psd, "per_step_dense", in_order)
    found = batch_invariance.check_layer(AUTO, (20, 3, 5, 4), CPU)
    assert found == {"batches": 8}


@pytest.mark.parametrize("scaled", ["y", "dx"])
def test_a_result_that_depends_on_the_batch_is_caught(
    monkeypatch: pytest.MonkeyPatch, scaled: str
) -> None:
    def layer(x: Tensor, *args: Tensor, activation: str) -> Tensor:
        y = in_order(x, *args, activation=activation)
        factor = 1 + torch.finfo(x.dtype).eps if len(x) == 16 else 1.0
        if scaled == "y":
            return y * factor
        y.register_hook(lambda dy: dy * factor)
        return y

    monkeypatch.setattr(psd, "batch_invariant", nullcontext)
    monkeypatch.setattr(psd, "per_step_dense", layer)
    with pytest.raises(
        DifferentBits, match=f"16 of 20 samples: result {['y', 'dx'].index(scaled)}"
    ):
        batch_invariance.check_layer(AUTO, (20, 3, 5, 4), CPU)


@needs_ops
def test_the_cpu_is_batch_invariant() -> None:
    for kernel in kernels_on(CPU):
        assert batch_invariance.check_layer(kernel, (70, 3, 67, 9), CPU) == {"batches": 12}


def test_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = []

    class Context(nullcontext[None]):
        def __enter__(self) -> None:
            entered.append(True)

    monkeypatch.setattr(psd, "batch_invariant", Context)
    monkeypatch.setattr(psd, "per_step_dense", in_order)
    batch_invariance.check_layer(AUTO, (3, 2, 5, 4), CPU)
    assert entered == [True]
    assert len(list(batch_invariance.tasks(CPU))) == 4 * len(batch_invariance.LAYERS)


def in_order(x: Tensor, weight: Tensor, bias: Tensor, *, activation: str) -> Tensor:
    products = x[..., None] * weight
    total = bias
    for term in products.unbind(-2):
        total = total + term
    return torch.relu(total)


# The soak


def test_calls_leave_no_memory_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "LARGEST_BATCH", 4)
    found = soak.soak(CPU, 600)
    assert found["calls"] == 600
    assert found["us a call"] > 0
    assert found["resident after"] > 0


def test_its_shapes_hit_and_miss_the_plan_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = 64
    assert soak.LARGEST_BATCH * len(soak.LAYERS) * len(soak.DTYPES) > 10 * slots
    monkeypatch.setattr(soak, "LARGEST_BATCH", 6)
    steps = soak.make_steps(CPU)
    assert len(steps) == 2 * 6 * len(soak.LAYERS) * len(soak.DTYPES)
    backwards = sum(not isinstance(step, partial) for step in steps)
    assert 3 * backwards == len(steps)


def test_a_leak_is_caught() -> None:
    """64 KiB a call, which nothing of torch's counts; pages that no heap has in store."""
    kept = []

    def leak() -> None:
        kept.append(mmap.mmap(-1, 1 << 16))
        kept[-1].write(b"x" * (1 << 16))

    meter = partial(soak.memory, CPU)
    with pytest.raises(Growth, match=r"resident memory: .* halfway through 500 calls"):
        check_flat([leak], 500, meter)


def rising(**a_call: int) -> tuple[Callable[[], object], Callable[[], Memory]]:
    """A step, and a meter of memory that every call of it gains."""
    calls = itertools.count()
    state = {"calls": 0}

    def step() -> None:
        state["calls"] = next(calls)

    def meter() -> Memory:
        return Memory(*(state["calls"] * a_call.get(kind, 0) for kind in Memory._fields))

    return step, meter


@pytest.mark.parametrize("kind", ["allocated", "reserved"])
def test_any_growth_of_the_gpus_memory_is_caught(kind: str) -> None:
    step, meter = rising(**{kind: 1})
    with pytest.raises(Growth, match=f"^{kind} memory: 1 bytes before, 1 halfway.* 2 after"):
        check_flat([step], 1, meter)


def test_a_small_leak_of_the_hosts_is_caught_over_a_stretch() -> None:
    calls = soak.CALLS // soak.STRETCHES
    step, meter = rising(resident=64)
    with pytest.raises(Growth, match=r"^resident memory"):
        check_flat([step], calls, meter)
    step, meter = rising(resident=8)
    assert check_flat([step], calls, meter)["calls"] == calls


def test_stretches_make_a_million() -> None:
    names = [task.name for task in soak.tasks(CPU)]
    assert len(set(names)) == soak.STRETCHES
    assert soak.CALLS == 10**6 == soak.STRETCHES * (soak.CALLS // soak.STRETCHES)


def test_figures_of_stretches_are_one() -> None:
    def unit(us: float, after: float) -> Unit:
        memory = {f"{kind} {when}": 5e6 for kind in Memory._fields for when in ("before", "after")}
        figures = {"calls": 100, "us a call": us, **memory, "resident after": after}
        return Unit(name=str(us), outcome="passed", figures=figures)

    failed = Unit(name="x", outcome="failed")
    assert soak.figures([unit(10.0, 6e6), unit(20.0, 5.5e6), failed]) == {
        "calls": 200,
        "us a call": 15.0,
        "MB allocated": 5.0,
        "MB gained by the GPU's": 0.0,
        "MB gained by the host's": 1.0,
    }


# The process that does the tasks


def done(tmp_path: Path, *tasks: Task, end: float = math.inf) -> Progress:
    journal = Journal(tmp_path / "journal.jsonl")
    do_tasks(tasks, journal, end)
    return journal.read()


def failing() -> dict[str, float]:
    raise DifferentBits("in the second repeat")


def test_tasks_are_noted_and_not_done_again(tmp_path: Path) -> None:
    counts = itertools.count(1)
    task = Task("a", lambda: {"calls": next(counts)})
    progress = done(tmp_path, task, Task("b", failing))
    assert progress.is_complete
    assert progress.units["a"].figures == {"calls": 1}
    assert progress.units["b"].outcome == "failed"
    assert str(progress.units["b"].text).endswith("DifferentBits: in the second repeat\n")
    done(tmp_path, task, Task("b", failing))
    assert next(counts) == 2


def test_tasks_end_with_the_time(tmp_path: Path) -> None:
    progress = done(tmp_path, Task("a", dict), end=time.monotonic() - 1)
    assert progress.was_stopped and not progress.is_complete
    assert progress.units == {}


def test_a_broken_context_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "is_broken", lambda: True)
    progress = done(tmp_path, Task("a", dict), Task("b", failing), Task("c", dict))
    assert list(progress.units) == ["a", "b"]
    assert not progress.is_complete and not progress.was_stopped


@pytest.fixture
def initialized(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    yield monkeypatch


def test_a_context_is_broken_where_it_does_not_answer(initialized: pytest.MonkeyPatch) -> None:
    initialized.setattr(torch.cuda, "synchronize", lambda: None)
    assert not context.is_broken()

    def fail() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    initialized.setattr(torch.cuda, "synchronize", fail)
    assert context.is_broken()


@needs_ops
def test_the_process_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "LARGEST_BATCH", 2)
    monkeypatch.setattr(soak, "CALLS", 40)
    journal = Journal(tmp_path / "journal.jsonl")
    command = SweepPart("soak").command(journal.path, 60.0)
    assert command.arguments[1:4] == ("-m", "bench.gpu_check.sweep", "soak")
    assert main([*command.arguments[3:], "--device", "cpu"]) == 0
    progress = journal.read()
    assert progress.is_complete
    assert [unit.outcome for unit in progress.units.values()] == ["passed"] * soak.STRETCHES
    figures = SweepPart("soak").result(progress).figures
    assert (figures["calls"], "failed" in figures) == (40, False)


def test_failed_tasks_are_counted() -> None:
    units = [Unit(name="a", outcome="failed"), Unit(name="b", outcome="passed")]
    found = SweepPart("determinism").figures(units)
    assert found == {"kernels and passes": 2, "failed": 1}


@pytest.mark.parametrize("name", list(SWEEPS))
def test_every_sweep_has_tasks_and_figures(name: str) -> None:
    sweep = SWEEPS[name]
    tasks = list(sweep.tasks(CPU))
    assert len({task.name for task in tasks}) == len(tasks) > 1
    assert sweep.figures([]) is not None
