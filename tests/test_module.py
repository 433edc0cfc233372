"""Is PerStepDense a row of nn.Linear: in values, gradients, initialisation and state?"""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from per_step_dense import PerStepDense

ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda y: y,
    "relu": torch.relu,
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def fp64(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def linears_of(layer: PerStepDense) -> list[nn.Linear]:
    """Independent nn.Linear modules with the layer's values, made without the layer's own code."""
    weights = layer.weight.detach().numpy().reshape(-1, layer.in_features, layer.out_features)
    linears = []
    for t, weight in enumerate(weights):
        linear = nn.Linear(*weight.shape, bias=layer.bias is not None, dtype=layer.weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight.T))
            if layer.bias is not None:
                linear.bias.copy_(layer.bias.reshape(-1, layer.out_features)[t])
        linears.append(linear)
    return linears


def parameters_of(layer: PerStepDense) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in layer.named_parameters()}


# Values and gradients


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize(
    ("steps", "leading"),
    [
        (5, (3,)),
        (5, ()),
        (5, (2, 3)),
        (1, (3,)),
        ((5,), (3,)),
        ((2, 3), (4,)),
        ((2, 3), ()),
        ((2, 1, 3), (2, 2)),
        ((2, 3), (0,)),
    ],
    ids=str,
)
def test_equals_a_loop_of_linears(
    steps: int | tuple[int, ...], leading: tuple[int, ...], bias: bool, activation: Any
) -> None:
    torch.manual_seed(0)
    layer = PerStepDense(steps, 4, 7, bias, activation=activation, dtype=torch.float64)
    linears = linears_of(layer)
    steps_shape = (steps,) if isinstance(steps, int) else steps
    total = math.prod(steps_shape)
    x = fp64(*leading, *steps_shape, 4).requires_grad_()
    grad = fp64(*leading, *steps_shape, 7)

    y = layer(x)
    y.backward(grad)

    x_loop = x.detach().clone().requires_grad_()
    x_steps = x_loop.reshape(-1, total, 4).unbind(1)
    outputs = [
        ACTIVATIONS[activation](linear(x_t)) for linear, x_t in zip(linears, x_steps, strict=True)
    ]
    y_loop = torch.stack(outputs, dim=1).reshape(*leading, *steps_shape, 7)
    y_loop.backward(grad)

    torch.testing.assert_close(y, y_loop)
    torch.testing.assert_close(x.grad, x_loop.grad)
    weight_grad = torch.stack([linear.weight.grad.T for linear in linears])
    torch.testing.assert_close(layer.weight.grad, weight_grad.reshape(layer.weight.shape))
    if layer.bias is not None:
        bias_grad = torch.stack([linear.bias.grad for linear in linears])
        torch.testing.assert_close(layer.bias.grad, bias_grad.reshape(layer.bias.shape))


@pytest.mark.parametrize("steps", [3, (3,), (2, 3)], ids=str)
def test_noncontiguous_input_gives_the_same(steps: int | tuple[int, ...]) -> None:
    layer = PerStepDense(steps, 4, 5, dtype=torch.float64)
    x = fp64(6, *layer.weight.shape[:-1])
    strided = x.movedim(0, -1).contiguous().movedim(-1, 0)
    assert not strided.is_contiguous()
    torch.testing.assert_close(layer(strided), layer(x))


def test_fullgraph_compile_gives_the_same() -> None:
    layer = PerStepDense((2, 3), 4, 5, activation="relu", dtype=torch.float64)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = fp64(6, 2, 3, 4)
    torch.testing.assert_close(compiled(x), layer(x))


def test_functional_call_and_vmap_over_samples() -> None:
    layer = PerStepDense(3, 4, 5, activation="tanh", dtype=torch.float64)
    x = fp64(6, 3, 4)

    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, sample).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters_of(layer), x)
    layer(x).square().sum().backward()
    torch.testing.assert_close(per_sample["weight"].sum(0), layer.weight.grad)
    torch.testing.assert_close(per_sample["bias"].sum(0), layer.bias.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_moves_to_another_dtype(dtype: torch.dtype) -> None:
    layer = PerStepDense(3, 4, 5)
    x = torch.randn(6, 3, 4)
    expected = layer(x)
    y = layer.to(dtype)(x.to(dtype))
    assert y.dtype == layer.weight.dtype == layer.bias.dtype == dtype
    torch.testing.assert_close(y.float(), expected, rtol=3e-2, atol=3e-2)
    assert not torch.equal(y.float(), torch.zeros_like(expected))


def test_half_is_half() -> None:
    assert PerStepDense(3, 4, 5).half()(torch.randn(2, 3, 4).half()).dtype == torch.float16


# Construction


@pytest.mark.parametrize("steps", [10, (10,), (2, 5)], ids=str)
def test_the_questions_layer_has_400_parameters(steps: int | tuple[int, ...]) -> None:
    layer = PerStepDense(steps, 4, 8)
    steps_shape = (steps,) if isinstance(steps, int) else steps
    assert layer.weight.shape == (*steps_shape, 4, 8)
    assert layer.bias is not None and layer.bias.shape == (*steps_shape, 8)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 400
    assert (layer.steps, layer.in_features, layer.out_features) == (steps, 4, 8)


def test_sizes_may_be_numpys_integers() -> None:
    layer = PerStepDense((np.int64(2), np.int32(3)), np.int64(4), np.uint8(5))
    assert layer.steps == (2, 3)
    sizes = (*layer.steps, layer.in_features, layer.out_features)
    assert all(type(size) is int for size in sizes)


def test_the_default_dtype_is_torchs() -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        layer = PerStepDense(3, 4, 5)
    finally:
        torch.set_default_dtype(before)
    assert layer.weight.dtype == layer.bias.dtype == torch.float64


def test_without_bias_there_is_none() -> None:
    layer = PerStepDense(3, 4, 5, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("in_features", [4, 64])
@pytest.mark.parametrize("redraw", [False, True], ids=["new", "reset"])
def test_every_step_starts_as_linear_does(in_features: int, redraw: bool) -> None:
    torch.manual_seed(0)
    steps, out_features = 6, 4096
    layer = PerStepDense(steps, in_features, out_features)
    if redraw:
        with torch.no_grad():
            layer.weight.fill_(7)
            layer.bias.fill_(7)
        layer.reset_parameters()
    linear = nn.Linear(in_features, out_features)
    bound = linear.weight.abs().max().item()  # what nn.Linear draws up to
    assert bound == pytest.approx(in_features**-0.5, rel=1e-2)
    for t in range(steps):
        for values in (layer.weight[t].detach(), layer.bias[t].detach()):
            assert values.abs().max() <= in_features**-0.5
            assert values.max() > 0.99 * bound
            assert values.min() < -0.99 * bound
            assert values.std().item() == pytest.approx(in_features**-0.5 / 3**0.5, rel=0.03)
    assert not torch.equal(layer.weight[0], layer.weight[1])


def test_the_seed_decides_the_weights() -> None:
    torch.manual_seed(3)
    first = PerStepDense(3, 4, 5)
    second = PerStepDense(3, 4, 5)
    torch.manual_seed(3)
    again = PerStepDense(3, 4, 5)
    assert torch.equal(first.weight, again.weight) and torch.equal(first.bias, again.bias)
    assert not torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        ((10, 4, 8), {}, "steps=10, in_features=4, out_features=8, bias=True"),
        (
            ((2, 3), 4, 8),
            {"bias": False, "activation": "relu"},
            "steps=(2, 3), in_features=4, out_features=8, bias=False, activation='relu'",
        ),
    ],
)
def test_repr(arguments: Any, keywords: Any, expected: str) -> None:
    layer = PerStepDense(*arguments, **keywords)
    assert layer.extra_repr() == expected
    assert repr(layer) == f"PerStepDense({expected})"


# State


def test_meta_layer_draws_its_weights_once_materialised() -> None:
    layer = PerStepDense((2, 3), 4, 5, device="meta")
    assert layer.weight.is_meta and layer.bias.is_meta
    assert layer(torch.empty(7, 2, 3, 4, device="meta")).shape == (7, 2, 3, 5)
    layer.to_empty(device="cpu")
    with torch.no_grad():
        layer.weight.fill_(7)
    layer.reset_parameters()
    assert 0.4 < layer.weight.abs().max() <= 0.5


def test_skip_init_draws_nothing() -> None:
    before = torch.get_rng_state()
    layer = torch.nn.utils.skip_init(PerStepDense, 3, 4, 5, activation="relu", dtype=torch.float64)
    assert torch.equal(torch.get_rng_state(), before)
    assert layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float64
    source = PerStepDense(3, 4, 5, activation="relu", dtype=torch.float64)
    layer.load_state_dict(source.state_dict())
    x = fp64(2, 3, 4)
    assert torch.equal(layer(x), source(x))


@pytest.mark.parametrize("how", ["state_dict", "deepcopy", "pickle", "torch.save"])
@pytest.mark.parametrize("steps", [3, (2, 3)], ids=str)
def test_copies_compute_the_same_and_share_nothing(how: str, steps: int | tuple[int, ...]) -> None:
    layer = PerStepDense(steps, 4, 5, activation="silu")
    if how == "state_dict":
        duplicate = PerStepDense(steps, 4, 5, activation="silu")
        assert list(layer.state_dict()) == ["weight", "bias"]
        duplicate.load_state_dict(layer.state_dict())
    elif how == "deepcopy":
        duplicate = copy.deepcopy(layer)
    elif how == "pickle":
        duplicate = pickle.loads(pickle.dumps(layer))
    else:
        buffer = io.BytesIO()
        torch.save(layer, buffer)
        buffer.seek(0)
        duplicate = torch.load(buffer, weights_only=False)
    x = torch.randn(6, *layer.weight.shape[:-1])
    expected = layer(x)
    assert torch.equal(duplicate(x), expected)
    assert repr(duplicate) == repr(layer)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    assert torch.equal(duplicate(x), expected)


# Conversion from and to nn.Linear


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("container", [list, tuple, nn.ModuleList, iter])
def test_from_linears_computes_what_they_do(
    container: Callable[[list[nn.Linear]], Any], bias: bool
) -> None:
    linears = [nn.Linear(4, 5, bias=bias, dtype=torch.float64) for _ in range(3)]
    layer = PerStepDense.from_linears(container(linears))
    x = fp64(6, 3, 4)
    expected = torch.stack([linear(x[:, t]) for t, linear in enumerate(linears)], dim=1)
    torch.testing.assert_close(layer(x), expected)
    assert layer.weight.shape == (3, 4, 5) and layer.weight.is_contiguous()
    assert (layer.steps, layer.in_features, layer.out_features) == (3, 4, 5)
    assert layer.activation is None
    with torch.no_grad():
        for linear in linears:
            for parameter in linear.parameters():
                parameter.zero_()
    torch.testing.assert_close(layer(x), expected)  # a copy


def test_from_linears_then_activation() -> None:
    linears = [nn.Linear(4, 5) for _ in range(3)]
    layer = PerStepDense.from_linears(linears)
    layer.activation = "relu"
    x = torch.randn(6, 3, 4)
    expected = torch.stack([linear(x[:, t]) for t, linear in enumerate(linears)], dim=1).relu()
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("steps", [3, (2, 3)], ids=str)
def test_to_linears_computes_what_the_layer_does(steps: int | tuple[int, ...], bias: bool) -> None:
    layer = PerStepDense(steps, 4, 5, bias, dtype=torch.float64)
    linears = layer.to_linears()
    assert isinstance(linears, nn.ModuleList)
    assert all(type(linear) is nn.Linear for linear in linears)
    assert all((linear.in_features, linear.out_features) == (4, 5) for linear in linears)
    assert all(linear.weight.is_contiguous() for linear in linears)
    x = fp64(6, *layer.weight.shape[:-1])
    expected = layer(x).reshape(6, -1, 5)
    x_steps = x.reshape(6, -1, 4).unbind(1)
    outputs = [linear(x_t) for linear, x_t in zip(linears, x_steps, strict=True)]
    torch.testing.assert_close(torch.stack(outputs, dim=1), expected)
    with torch.no_grad():
        for parameter in linears.parameters():
            parameter.zero_()
    torch.testing.assert_close(layer(x).reshape(6, -1, 5), expected)  # copies


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("trainable", [(True, True), (False, True), (True, False)], ids=str)
def test_round_trip_keeps_values_dtype_device_and_requires_grad(
    trainable: tuple[bool, bool], device: str, dtype: torch.dtype
) -> None:
    linears = [nn.Linear(4, 5, device=device, dtype=dtype) for _ in range(3)]
    for linear in linears:
        linear.weight.requires_grad_(trainable[0])
        linear.bias.requires_grad_(trainable[1])
    layer = PerStepDense.from_linears(linears)
    back = layer.to_linears()
    assert len(back) == 3
    assert (layer.weight.requires_grad, layer.bias.requires_grad) == trainable
    assert all(type(parameter) is nn.Parameter for parameter in layer.parameters())
    assert {parameter.dtype for parameter in layer.parameters()} == {dtype}
    assert {parameter.device.type for parameter in layer.parameters()} == {device}
    for before, after in zip(linears, back, strict=True):
        assert repr(after) == repr(before)
        for name in ("weight", "bias"):
            old, new = getattr(before, name), getattr(after, name)
            assert type(new) is nn.Parameter
            assert (new.dtype, new.device) == (old.dtype, old.device)
            assert new.requires_grad == old.requires_grad
            assert new.is_leaf and new.shape == old.shape
            assert device == "meta" or torch.equal(new, old)


def test_conversion_leaves_the_random_state_alone() -> None:
    linears = [nn.Linear(4, 5) for _ in range(3)]
    before = torch.get_rng_state()
    PerStepDense.from_linears(linears).to_linears()
    assert torch.equal(torch.get_rng_state(), before)


def test_from_linears_of_a_subclass_gives_the_subclass() -> None:
    class Mine(PerStepDense):
        pass

    assert type(Mine.from_linears([nn.Linear(4, 5)])) is Mine
