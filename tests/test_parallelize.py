"""Does a layer that is sharded by a style, or by parallelize, compute what it did before?"""

from __future__ import annotations

import copy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed import tensor as dtensor
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import parallelize_module
from worlds import World, mesh_of

import per_step_dense as psd
from bench.collectives import Collectives
from per_step_dense.distributed import InParallel, OutParallel, StepsParallel, parallelize

T, I, O = 8, 4, 12  # noqa: E741
DIMS = ["steps", "out", "in"]
OF_INPUT = {"steps": Shard(-2), "out": Replicate(), "in": Shard(-1)}


def integers_(layer: nn.Module) -> nn.Module:
    """With small integers for parameters, biases multiples of 4: whatever is added up is exact."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(torch.randint(-3, 4, parameter.shape) * (4 if "bias" in name else 1))
    return layer


def part(tensor: torch.Tensor, placement: Any) -> torch.Tensor:
    """This process's, of a tensor that all have."""
    if placement.is_replicate():
        return tensor
    size, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    return tensor.chunk(size, placement.dim)[rank]


def layer_and_part(
    dim: str, steps: Any, options: dict[str, Any]
) -> tuple[dict[str, int], dict[str, int], str]:
    """Calls the layer with plain tensors, each process with its part."""
    whole = integers_(psd.PerStepDense(steps, I, O, **options))
    steps_shape = (steps,) if isinstance(steps, int) else steps
    x = torch.randint(-3, 4, (5, *steps_shape, I)).float().requires_grad_()
    y = whole(x)
    dy = torch.randint(-3, 4, y.shape).float()
    y.backward(dy)

    layer = copy.deepcopy(whole)
    layer.zero_grad()
    mesh = mesh_of(torch.distributed.get_world_size())
    assert parallelize(layer, mesh, dim) is layer
    of_steps = Shard(-1 - len(steps_shape))
    of_input = of_steps if dim == "steps" else OF_INPUT[dim]
    of_output = {"steps": of_steps, "out": Shard(-1), "in": Replicate()}[dim]
    x_part = part(x.detach(), of_input).clone().requires_grad_()
    with Collectives() as in_forward:
        result = layer(x_part)
    with Collectives() as in_backward:
        result.backward(part(dy, of_output))

    exact = {"rtol": 0, "atol": 0}
    assert type(result) is torch.Tensor
    torch.testing.assert_close(result, part(y, of_output), **exact)
    torch.testing.assert_close(x_part.grad, part(x.grad, of_input), **exact)
    for name, parameter in layer.named_parameters():
        assert parameter.to_local().numel() < parameter.numel() or (dim, name) == ("in", "bias")
        gradient = whole.get_parameter(name).grad
        torch.testing.assert_close(parameter.grad.full_tensor(), gradient, **exact)
    return in_forward.counts, in_backward.counts, repr(layer)


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"activation": "relu"}],
    ids=["bias", "no_bias", "relu"],
)
@pytest.mark.parametrize("steps", [T, (4, 3)], ids=["steps", "grid"])
@pytest.mark.parametrize("dim", DIMS)
def test_each_process_gets_its_part(
    world: World, dim: str, steps: Any, options: dict[str, Any]
) -> None:
    for forward, backward, text in world.run(layer_and_part, dim, steps, options):
        assert forward == ({"all_reduce": 1} if dim == "in" else {})
        assert backward == ({"all_reduce": 1} if dim == "out" else {})
        assert text == repr(psd.PerStepDense(steps, I, O, **options))


def towers(use_local_output: bool) -> dict[str, int]:
    """out, then in: of a pair of layers one all-reduce in each direction."""
    plain = integers_(
        nn.Sequential(
            psd.PerStepDense(T, I, O, activation="relu"), psd.PerStepDense(T, O, I, bias=False)
        )
    )
    x = torch.randint(-3, 4, (5, T, I)).float().requires_grad_()
    y = plain(x)
    y.sum().backward()

    model = copy.deepcopy(plain)
    model.zero_grad()
    styles = {"0": OutParallel(use_local_output=use_local_output), "1": InParallel()}
    parallelize_module(model, mesh_of(torch.distributed.get_world_size()), styles)
    x_same = x.detach().clone().requires_grad_()
    with Collectives() as counted:
        result = model(x_same)
        result.sum().backward()
    exact = {"rtol": 0, "atol": 0}
    torch.testing.assert_close(result, y, **exact)
    torch.testing.assert_close(x_same.grad, x.grad, **exact)
    for sharded, parameter in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(sharded.grad.full_tensor(), parameter.grad, **exact)
    return counted.counts


@pytest.mark.parametrize("use_local_output", [True, False], ids=["plain", "DTensor"])
def test_out_and_in_follow_each_other(world: World, use_local_output: bool) -> None:
    assert world.run(towers, use_local_output) == [{"all_reduce": 2}] * world.size


def layouts(
    dim: str, input_layouts: Any, output_layouts: Any, activation: str | None
) -> tuple[dict[str, int], str]:
    whole = integers_(psd.PerStepDense(T, I, O, activation=activation))
    x = torch.randint(-3, 4, (8, T, I)).float()
    layer = parallelize(
        copy.deepcopy(whole),
        mesh_of(torch.distributed.get_world_size()),
        dim,
        input_layouts=input_layouts,
        output_layouts=output_layouts,
        use_local_output=False,
    )
    with Collectives() as counted:
        y = layer(part(x, input_layouts))
        y.to_local()
    torch.testing.assert_close(y.full_tensor(), whole(x), rtol=0, atol=0)
    return counted.counts, str(y.placements)


@pytest.mark.parametrize(
    ("dim", "input_layouts", "output_layouts", "activation", "counted"),
    [
        ("steps", Replicate(), Shard(1), "relu", {}),
        ("steps", Replicate(), Replicate(), None, {"all_gather": 1}),
        # Gloo has no all-to-all, and DTensor gathers instead: x, then y.
        ("steps", Shard(0), Shard(0), None, {"all_gather": 2}),
        ("out", Shard(0), Shard(2), None, {"all_gather": 1}),
        ("in", Replicate(), Shard(0), None, {"reduce_scatter": 1}),
        ("in", Replicate(), Shard(0), "relu", {"all_reduce": 1}),
    ],
)
def test_layouts_that_are_asked_for(
    two: World, dim: str, input_layouts: Any, output_layouts: Any, activation: Any, counted: Any
) -> None:
    for got, placements in two.run(layouts, dim, input_layouts, output_layouts, activation):
        assert got == counted
        assert placements == str((output_layouts,))


def dtensor_inputs() -> list[str]:
    layer = parallelize(psd.PerStepDense(T, I, O), mesh_of(2))
    x = torch.randn(4, T, I)
    for place in (Shard(1), Replicate()):
        layer(dtensor.distribute_tensor(x, mesh_of(2), [place]))
    texts = []
    for wrong in (
        dtensor.distribute_tensor(x, mesh_of(2), [Shard(0)]),
        DTensor.from_local(x, mesh_of(2), [dtensor.Partial()]),
        dtensor.distribute_tensor(x, mesh_of(2, names=("other",)), [Shard(1)]),
        x,  # of T steps, where this process has half of them
    ):
        with Collectives() as counted, pytest.raises(ValueError) as error:
            layer(wrong)
        assert counted.counts == {}
        texts.append(str(error.value))
    with pytest.raises(ValueError) as error:
        layer(input=x)
    with pytest.raises(TypeError, match=r"per_step_dense: input must be a torch\.Tensor; got list"):
        layer([1.0])
    return [*texts, str(error.value)]


def test_inputs_that_would_be_moved_are_refused(two: World) -> None:
    for batch, partial, mesh, size, keyword in two.run(dtensor_inputs):
        refused = (
            "per_step_dense: input must be S(1) or R for a layer sharded over steps, for nothing "
            "is gathered silently: redistribute it first, or name its placement in input_layouts; "
            "got "
        )
        assert batch == refused + "S(0)"
        assert partial == refused + "P(sum)"
        assert mesh.startswith("per_step_dense: input must be on the layer's mesh, DeviceMesh(")
        assert size.endswith("(*, 8, 4) = (*, *steps, in_features); got (4, 16, 4)")
        assert keyword.endswith("with its input alone, by position; got 0 positional arguments")


def wrong_arguments() -> list[str]:
    mesh, layer = mesh_of(2, 2), psd.PerStepDense(7, 6, 9)
    four = mesh_of(4)
    with pytest.raises(TypeError, match="per_step_dense: mesh must be a DeviceMesh; got tuple"):
        parallelize(layer, (4,))
    with pytest.raises(TypeError, match=r"per_step_dense: output_layouts must be .*; got str"):
        parallelize(layer, four, output_layouts="batch")
    sharded = parallelize(psd.PerStepDense(8, 4, 4), four)
    normed = nn.utils.parametrizations.weight_norm(psd.PerStepDense(8, 4, 4))
    texts = []
    for arguments in (
        (layer, four),
        (layer, four, "out"),
        (layer, four, "in"),
        (layer, mesh),
        (layer, four, "batch"),
        (nn.Linear(4, 4), four),
        (sharded, four),
        (normed, four),
        (psd.PerStepDense((3, 8), 4, 4), four),
    ):
        with pytest.raises(ValueError) as error:
            parallelize(*arguments)
        texts.append(str(error.value))
    assert type(layer.weight) is nn.Parameter  # what is refused is left as it was
    return texts


def test_wrong_arguments_are_refused(four: World) -> None:
    expected = [
        "the mesh must divide steps = 7 into equal parts; got a mesh of 4",
        "the mesh must divide out_features = 9 into equal parts; got a mesh of 4",
        "the mesh must divide in_features = 6 into equal parts; got a mesh of 4",
        "mesh must have one dimension (take one of several by its name, such as mesh['d0']); "
        "got 2, named d0, d1",
        "dim must be one of 'steps', 'out', 'in'; got 'batch'",
        "module must be a PerStepDense; got Linear",
        "module must not be sharded yet; got weight (Shard(dim=0),)",
        "module must have its weight as a parameter of its own (parallelize before parametrizing); "
        "got bias, parametrizations.weight.original0, parametrizations.weight.original1",
        "the mesh must divide steps = 3 into equal parts; got a mesh of 4",
    ]
    for texts in four.run(wrong_arguments):
        assert texts == [f"per_step_dense: {text}" for text in expected]


def one_process_has_it_all() -> None:
    """The first process's parameters are everyone's."""
    rank = torch.distributed.get_rank()
    torch.manual_seed(rank)
    layer = psd.PerStepDense(T, I, O)
    before = copy.deepcopy(layer)
    parallelize(layer, mesh_of(2))
    full = layer.weight.full_tensor()
    assert torch.equal(full, before.weight) is (rank == 0)


def test_the_first_process_s_parameters_are_sharded(two: World) -> None:
    two.run(one_process_has_it_all)


def meta_layer() -> None:
    layer = parallelize(psd.PerStepDense(T, I, O, device="meta"), mesh_of(2))
    assert layer.weight.is_meta and layer.weight.to_local().shape == (T // 2, I, O)
    layer.to_empty(device="cpu")
    with warnings.catch_warnings():  # CPUs draw the same numbers in every process, torch says
        warnings.filterwarnings("ignore", "DTensor random operators may not have complete support")
        layer.reset_parameters()
    bound = I**-0.5
    local = layer.weight.to_local()
    assert local.shape == (T // 2, I, O) and local.abs().max() <= bound and local.std() > bound / 3
    layer(torch.randn(3, T // 2, I)).sum().backward()
    assert torch.isfinite(layer.weight.grad.to_local()).all()


def test_a_layer_on_the_meta_device_never_exists_whole(two: World) -> None:
    two.run(meta_layer)


def frozen() -> None:
    layer = psd.PerStepDense(T, I, O)
    layer.weight.requires_grad_(False)
    parallelize(layer, mesh_of(2), "out")
    assert not layer.weight.requires_grad and layer.bias.requires_grad
    layer(torch.randn(3, T, I)).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(layer.bias.grad.full_tensor(), torch.full((T, O), 3.0))


def test_what_is_frozen_stays_frozen(two: World) -> None:
    two.run(frozen)


def compiled(dim: str, activation: str | None) -> None:
    whole = psd.PerStepDense(T, I, O, activation=activation)
    layer = parallelize(copy.deepcopy(whole), mesh_of(2), dim)
    x = torch.randn(4, T, I)
    place = OF_INPUT[dim]
    local = part(x, place).clone().requires_grad_()
    torch._dynamo.reset()  # or else the sizes of the test before would make these symbolic
    # Inside a model, as it is used: of what is itself compiled, hooks are graphs of their own.
    y = torch.compile(nn.Sequential(layer), backend="aot_eager", fullgraph=True)(local)
    expected = parallelize(copy.deepcopy(whole), mesh_of(2), dim)(part(x, place))
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    whole(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad.full_tensor(), whole.weight.grad)


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("dim", DIMS)
def test_compiled(two: World, dim: str, activation: str | None) -> None:
    two.run(compiled, dim, activation)


def test_repr() -> None:
    assert repr(StepsParallel(output_layouts=Replicate())) == (
        "StepsParallel(input_layouts=None, output_layouts=Replicate(), use_local_output=True)"
    )


def methods(dim: str) -> list[str]:
    whole, mesh = psd.PerStepDense(T, I, O), mesh_of(2)
    layer = parallelize(copy.deepcopy(whole), mesh, dim)
    x_t = torch.randn(3, I)
    everywhere = dtensor.distribute_tensor(x_t, mesh, [Replicate()])
    texts = []
    with Collectives() as counted:
        for method, arguments in ((layer.step, (everywhere, 5)), (layer.to_linears, ())):
            try:
                method(*arguments)
            except ValueError as error:
                texts.append(str(error))
    assert counted.counts == {}
    if dim != "steps":
        torch.testing.assert_close(layer.step(everywhere, 5).full_tensor(), whole.step(x_t, 5))
        assert torch.equal(layer.to_linears()[5].weight.full_tensor(), whole.weight[5].t())
    with pytest.raises(ValueError, match=r"per_step_dense: weight must be what one process comp"):
        psd.explain(torch.empty(3, T, I), layer.weight)
    return texts


@pytest.mark.parametrize("dim", DIMS)
def test_single_steps_of_a_sharded_layer(two: World, dim: str) -> None:
    for texts in two.run(methods, dim):
        assert len(texts) == (2 if dim == "steps" else 0)
        for method, text in zip(("step", "to_linears"), texts, strict=False):
            assert text.startswith(f"per_step_dense: {method} needs a weight that is not sharded")


def test_nothing_is_imported_before_it_is_needed() -> None:
    script = """
import sys, torch, per_step_dense as psd
psd.PerStepDense(4, 5, 6)(torch.randn(3, 4, 5))
assert "torch.distributed.tensor" not in sys.modules
assert callable(psd.distributed.parallelize)
assert "torch.distributed.tensor" in sys.modules
try:
    psd.distribution
except AttributeError as error:
    print(error)
"""
    root = Path(psd.__file__).parents[1]
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert printed.stdout == "module 'per_step_dense' has no attribute 'distribution'\n"
