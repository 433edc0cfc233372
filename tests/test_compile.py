"""Does the op survive torch.compile and torch.export, with sizes that vary?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch._inductor
import truth
from cases import LAYERS, Arguments, Layer, Model, bare_op, of_sizes
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils.checkpoint import checkpoint

import per_step_dense as psd

ALL_LAYERS = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def requiring_grad(device: torch.device, batch: int = 6) -> Arguments:
    args = of_sizes(batch, 5, 7, 9, torch.float64, device)
    return Arguments(*(tensor.requires_grad_() for tensor in args))


def assert_same_with_gradients(
    compiled: Layer, args: Arguments, activation: str | None = "gelu"
) -> None:
    y = compiled(*args)
    exact = truth.per_step_dense(*args, activation=activation)
    torch.testing.assert_close(y, exact)
    actual = torch.autograd.grad(y.square().sum(), args)
    expected = torch.autograd.grad(exact.square().sum(), args)
    for ours, true in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, true)


@ALL_LAYERS
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_compiled_values_and_gradients(
    device: torch.device, activation: str | None, layer: Layer
) -> None:
    def function(*args: Tensor) -> Tensor:
        return layer(*args, activation=activation)

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    assert_same_with_gradients(compiled, requiring_grad(device), activation)


@ALL_LAYERS
def test_compiled_without_bias_or_gradient(device: torch.device, layer: Layer) -> None:
    x, weight, _ = of_sizes(6, 5, 7, 9, torch.float64, device)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, weight), truth.per_step_dense(x, weight))


@ALL_LAYERS
def test_inductor_values_and_gradients(device: torch.device, layer: Layer) -> None:
    """The default backend gives arguments by their names, some of which it needs itself."""

    def function(*args: Tensor) -> Tensor:
        return layer(*args, activation="gelu")

    assert_same_with_gradients(torch.compile(function, fullgraph=True), requiring_grad(device))
    x, weight, bias = of_sizes(6, 5, 7, 9, torch.float64, device)
    without_gradient = torch.compile(layer, fullgraph=True)(x, weight, bias)
    torch.testing.assert_close(without_gradient, truth.per_step_dense(x, weight, bias))


def test_compiled_once_for_every_batch_size(device: torch.device) -> None:
    counter = CompileCounterWithBackend("aot_eager")

    def function(*args: Tensor) -> Tensor:
        return psd.per_step_dense(*args, activation="gelu")

    compiled = torch.compile(function, fullgraph=True, backend=counter, dynamic=True)
    for batch in (6, 3, 50):
        assert_same_with_gradients(compiled, requiring_grad(device, batch))
    assert counter.frame_count == 1


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_twice_where_sizes_are_not_said_to_vary(
    device: torch.device, backend: str
) -> None:
    """Once for the first batch, once for all others from two on; forward and backward."""
    counter = CompileCounterWithBackend(backend)
    layer = psd.PerStepDense(5, 7, 9, activation="gelu", device=device, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend=counter)
    for batch in (6, 3, 2, 50, 7):
        x = torch.randn(batch, 5, 7, dtype=torch.float64, device=device, requires_grad=True)
        y = compiled(x)
        torch.testing.assert_close(y, layer(x))
        found = torch.autograd.grad(y.square().sum(), (x, *layer.parameters()))
        expected = torch.autograd.grad(layer(x).square().sum(), (x, *layer.parameters()))
        for ours, exact in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, exact)
    assert counter.frame_count == 2


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("steps", [5, (5, 1)], ids=str)
def test_compiled_once_where_the_batch_is_said_to_vary(
    device: torch.device, steps: int | tuple[int, ...], backend: str
) -> None:
    """From two on, which mark_dynamic would refuse if the size were written into the graph."""
    counter = CompileCounterWithBackend(backend)
    layer = psd.PerStepDense(steps, 7, 9, activation="silu", device=device, dtype=torch.float64)
    compiled = torch.compile(layer, fullgraph=True, backend=counter)
    for batch in (2, 3, 50, 2):
        x = torch.randn(batch, *layer.weight.shape[:-1], dtype=torch.float64, device=device)
        torch._dynamo.mark_dynamic(x.requires_grad_(), 0)
        y, exact = compiled(x), layer(x)
        torch.testing.assert_close(y, exact)
        inputs = (x, *layer.parameters())
        found = torch.autograd.grad(y.square().sum(), inputs)
        expected = torch.autograd.grad(exact.square().sum(), inputs)
        for ours, true in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, true)
    assert counter.frame_count == 1


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_context_in_a_module_breaks_no_graph(device: torch.device, backend: str) -> None:
    args = requiring_grad(device)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with psd.use_kernel("reference"):
            first = psd.per_step_dense(x, weight, bias, activation="gelu")
        return first + psd.per_step_dense(x, weight, bias, activation="relu")

    counter = CompileCounterWithBackend(backend)
    y = torch.compile(function, fullgraph=True, backend=counter)(*args)
    (graph,) = counter.graphs
    assert [
        "reference" in node.args
        for node in graph.graph.nodes
        if node.target is torch.ops.per_step_dense.forward.default
    ] == [True, False]
    exact = truth.per_step_dense(*args, activation="gelu")
    exact = exact + truth.per_step_dense(*args, activation="relu")
    torch.testing.assert_close(y, exact)
    found = torch.autograd.grad(y.square().sum(), args)
    for ours, true in zip(found, torch.autograd.grad(exact.square().sum(), args), strict=True):
        torch.testing.assert_close(ours, true)


def test_checkpointed_code_is_compiled_whole(device: torch.device) -> None:
    layer = psd.PerStepDense(5, 7, 9, activation="gelu", device=device, dtype=torch.float64)

    def function(x: Tensor) -> Tensor:
        return checkpoint(layer, x.sin(), use_reentrant=False).square()

    x = torch.randn(6, 5, 7, dtype=torch.float64, device=device, requires_grad=True)
    inputs = (x, *layer.parameters())
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    found = torch.autograd.grad(compiled(x).sum(), inputs)
    expected = torch.autograd.grad(layer(x.sin()).square().sum(), inputs)
    for ours, true in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, true)


def test_compiled_once_for_every_number_of_steps(device: torch.device) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(psd.per_step_dense, fullgraph=True, backend=counter, dynamic=True)
    for steps, in_features, out_features in ((5, 7, 9), (3, 8, 2), (11, 4, 6)):
        args = of_sizes(6, steps, in_features, out_features, torch.float64, device)
        torch.testing.assert_close(compiled(*args), truth.per_step_dense(*args))
    assert counter.frame_count == 1


@pytest.mark.parametrize("layer", [psd.per_step_dense, bare_op], ids=["function", "op"])
def test_compiled_graph_holds_one_op(device: torch.device, layer: Layer) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    torch.compile(layer, fullgraph=True, backend=counter)(*requiring_grad(device))
    (graph,) = counter.graphs
    calls = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert [str(call).removesuffix(".default") for call in calls] == ["per_step_dense.forward"]


def test_compiled_code_refuses_wrong_shapes(device: torch.device) -> None:
    x, weight, bias = of_sizes(6, 5, 7, 9, torch.float64, device)
    compiled = torch.compile(psd.per_step_dense, backend="aot_eager")
    compiled(x, weight, bias)
    with pytest.raises(Exception, match="bias must be"):
        compiled(x, weight, bias[:1])


@ALL_LAYERS
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non_strict"])
def test_exported_with_a_dynamic_batch(device: torch.device, strict: bool, layer: Layer) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float64, device)
    batch = torch.export.Dim("batch")
    program = torch.export.export(
        Model(layer, args, "gelu"), (args.x,), dynamic_shapes={"x": {0: batch}}, strict=strict
    )
    exported = program.module()
    for size in (6, 2, 40):
        x = of_sizes(size, 5, 7, 9, torch.float64, device).x
        exact = truth.per_step_dense(x, args.weight, args.bias, activation="gelu")
        torch.testing.assert_close(exported(x), exact)
    (input_node,) = [n for n in program.graph.nodes if n.op == "placeholder" and n.name == "x"]
    symbolic, steps, features = input_node.meta["val"].shape
    assert isinstance(symbolic, torch.SymInt)
    assert (steps, features) == (5, 7)


def test_exported_program_refuses_other_steps(device: torch.device) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float64, device)
    with pytest.raises(torch._dynamo.exc.UserError, match="steps"):
        torch.export.export(
            Model(psd.per_step_dense, args, "gelu"),
            (args.x,),
            dynamic_shapes={"x": {1: torch.export.Dim("steps")}},
            strict=True,
        )


def test_decomposed_export_keeps_the_op(device: torch.device) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float64, device)
    program = torch.export.export(Model(psd.per_step_dense, args, "gelu"), (args.x,), strict=False)
    targets = {node.target for node in program.run_decompositions().graph.nodes}
    assert torch.ops.per_step_dense.forward.default in targets


# torch.export.load reads weights from bytes that it does not copy.
@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")
def test_exported_program_is_saved_and_loaded(tmp_path: Path, device: torch.device) -> None:
    # Of views torch would save what they are views of.
    args = Arguments(*(t.clone() for t in of_sizes(6, 5, 7, 9, torch.float64, device)))
    program = torch.export.export(
        Model(psd.per_step_dense, args, "gelu"),
        (args.x,),
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
    )
    torch.export.save(program, tmp_path / "layer.pt2")
    loaded = torch.export.load(tmp_path / "layer.pt2").module()
    for batch in (6, 2, 40):
        x = of_sizes(batch, 5, 7, 9, torch.float64, device).x
        exact = truth.per_step_dense(x, args.weight, args.bias, activation="gelu")
        torch.testing.assert_close(loaded(x), exact)


def test_aot_inductors_package_is_loaded(tmp_path: Path, device: torch.device) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float32, device)
    model = Model(psd.per_step_dense, args, "gelu").requires_grad_(False)
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(model, (args.x,), dynamic_shapes={"x": {0: batch}})
    path = torch._inductor.aoti_compile_and_package(
        program, package_path=str(tmp_path / "layer.pt2")
    )
    loaded = torch._inductor.aoti_load_package(path)
    for size in (6, 2, 40):
        x = of_sizes(size, 5, 7, 9, torch.float32, device).x
        torch.testing.assert_close(loaded(x), model(x))
