"""Does the op survive torch.compile and torch.export, with sizes that vary?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import truth
from cases import LAYERS, Arguments, Layer, Model, bare_op, of_sizes
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

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
