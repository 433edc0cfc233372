"""Does use_kernel choose what runs under torch.compile, around compiled code and inside it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import truth
from kernel_in_force import nothing_is_left_in_force, small  # noqa: F401 - around all
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import per_step_dense as psd
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

ops = torch.ops.per_step_dense


def ops_run_by(call: Callable[[], object]) -> set[str]:
    """Of compiled code too, which torch leaves uncompiled under a TorchDispatchMode."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True
    ) as profile:
        call()
    return {event.key for event in profile.key_averages()}


@pytest.fixture
def nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function: Callable[..., object]) -> tuple[Callable[..., object], object]:
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(function, fullgraph=True, backend=counter), counter


def kernels_in(graph: torch.fx.GraphModule) -> list[object]:
    return [
        node.args[4] if len(node.args) > 4 else node.kwargs.get("family", "auto")
        for node in graph.graph.nodes
        if str(node.target).startswith("per_step_dense.forward")
    ]


@pytest.mark.usefixtures("nothing_compiled_before")
def test_context_inside_compiled_code(device: torch.device) -> None:
    def function(*args: Tensor) -> Tensor:
        with psd.use_kernel("reference"):
            y = psd.per_step_dense(*args, activation="gelu")
            with psd.use_kernel("auto"):
                y = y + psd.per_step_dense(*args)
        return y * psd.per_step_dense(*args)

    args = small(device)
    run, counter = compiled(function)
    y = run(*args)
    assert kernels_in(counter.graphs[0]) == ["reference", "auto", "auto"]
    assert counter.frame_count == 1
    exact = truth.per_step_dense(*args)
    exact = (truth.per_step_dense(*args, activation="gelu") + exact) * exact
    torch.testing.assert_close(y, exact)
    actual = torch.autograd.grad(y.sum(), args)
    for ours, true in zip(actual, torch.autograd.grad(exact.sum(), args), strict=True):
        torch.testing.assert_close(ours, true)


@pytest.mark.usefixtures("nothing_compiled_before")
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_compiled_reference_is_an_einsum(grad: bool) -> None:
    def function(*args: Tensor) -> Tensor:
        with psd.use_kernel("reference"):
            return psd.per_step_dense(*args)

    run, _ = compiled(function)
    args = small(grad=grad)
    run(*args)
    found = ops_run_by(lambda: run(*args))
    assert "aten::bmm" in found
    assert "per_step_dense::forward" not in found


@pytest.mark.usefixtures("nothing_compiled_before")
def test_forced_kernel_inside_compiled_code_refuses_the_cpu() -> None:
    def function(*args: Tensor) -> Tensor:
        with psd.use_kernel("simt"):
            return psd.per_step_dense(*args)

    run, _ = compiled(function)
    with pytest.raises(Exception, match=r"use_kernel\('simt'\) needs CUDA tensors; x is on cpu"):
        run(*small())


@pytest.mark.usefixtures("nothing_compiled_before")
def test_compiled_code_follows_the_context_around_it(device: torch.device) -> None:
    args = small(device)
    run, counter = compiled(lambda *args: psd.per_step_dense(*args))
    with psd.use_kernel("reference"):
        run(*args)
    run(*args)
    with psd.use_kernel("reference"):
        run(*args)
    run(*args)
    assert [kernels_in(graph) for graph in counter.graphs] == [["reference"], ["auto"]]
    with pytest.raises(Exception, match="needs CUDA tensors"), psd.use_kernel("tiny"):
        run(*small("cpu"))


@pytest.mark.usefixtures("nothing_compiled_before")
def test_compiled_bare_op_takes_its_argument_or_the_thread_that_runs_it() -> None:
    args = small()
    run, _ = compiled(lambda *args: ops.forward(*args))
    with psd.use_kernel("reference"):
        run(*args)
    assert "per_step_dense::forward" in ops_run_by(lambda: run(*args))
    with pytest.raises(ValueError, match="needs CUDA tensors"), psd.use_kernel("simt"):
        run(*args)
    explicit, counter = compiled(lambda *args: ops.forward(*args, family="reference"))
    explicit(*args)
    assert kernels_in(counter.graphs[0]) == ["reference"]


@pytest.mark.usefixtures("nothing_compiled_before")
def test_layer_with_decorator_is_compiled() -> None:
    layer = psd.PerStepDense(5, 7, 9, dtype=torch.float64)

    @psd.use_kernel("reference")
    def function(x: Tensor) -> Tensor:
        return layer(x)

    run, counter = compiled(function)
    x = small(grad=False).x
    torch.testing.assert_close(run(x), layer(x))
    assert kernels_in(counter.graphs[0]) == ["reference"]
