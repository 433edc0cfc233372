"""Does LocallyConnected1d compute its formula, on windows that are never copied?"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tolerance import assert_as_close_as_torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from truth import ACTIVATIONS, in_fp64
from truth import per_step_dense as true_per_step_dense

import per_step_dense as psd
from per_step_dense import LocallyConnected1d

SHAPE = "input must be (*, 12, 4) = (*, in_steps, in_features); got"
NAMES = "relu, gelu, gelu_tanh, silu, tanh, sigmoid"
SIZE = "must be an int of at least 1; got"


def by_formula(layer: LocallyConnected1d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    k, s = layer.kernel_size, layer.stride
    steps = range(0, len(weight) * s, s)
    windows = torch.stack([x[..., t : t + k, :].flatten(-2) for t in steps], -2)
    return true_per_step_dense(windows, weight, bias, activation=layer.activation)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    "sizes", [(9, 3, 1), (9, 3, 2), (10, 4, 3), (6, 2, 3), (5, 5, 1), (7, 1, 2)]
)
@pytest.mark.parametrize("has_bias", [True, False])
def test_results_and_gradients(
    sizes: tuple[int, int, int], dtype: torch.dtype, has_bias: bool, device: torch.device
) -> None:
    in_steps, kernel_size, stride = sizes
    layer = LocallyConnected1d(
        in_steps, 3, 5, kernel_size, stride, has_bias, activation="tanh", device=device, dtype=dtype
    )
    x = torch.randn(4, in_steps, 3, device=device, dtype=dtype, requires_grad=True)
    leaves = [x, *layer.parameters()]
    y = layer(x)
    dy = torch.randn_like(y)
    gradients = torch.autograd.grad(y, leaves, dy)

    def expected(leaves: list[Tensor], dy: Tensor) -> list[Tensor]:
        x, weight, *bias = leaves
        y = by_formula(layer, x, weight, bias[0] if bias else None)
        return [y.detach(), *torch.autograd.grad(y, leaves, dy)]

    torchs = expected(leaves, dy)
    truth = expected([in_fp64(leaf) for leaf in leaves], dy.double())
    for actual, torchs_own, true in zip((y, *gradients), torchs, truth, strict=True):
        assert_as_close_as_torch(actual, torchs_own, true)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation: Any) -> None:
    layer = LocallyConnected1d(9, 3, 5, 2, 2, activation=activation, dtype=torch.float64)
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x), by_formula(layer, x, layer.weight, layer.bias))


def test_any_number_of_leading_dimensions() -> None:
    layer = LocallyConnected1d(9, 3, 5, 2)
    x = torch.randn(2, 4, 9, 3)
    y = layer(x)
    assert y.shape == (2, 4, 8, 5)
    torch.testing.assert_close(y[1, 2], layer(x[1, 2]))
    assert layer(x[:0]).shape == (0, 4, 8, 5)


def test_steps_after_the_last_window_have_no_influence() -> None:
    layer = LocallyConnected1d(10, 3, 5, 3, 2)
    x = torch.randn(4, 10, 3, requires_grad=True)
    changed = torch.cat([x[:, :9], torch.full((4, 1, 3), torch.nan)], 1)
    y = layer(x)
    assert torch.equal(y, layer(changed))
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert not dx[:, 9].any() and dx[:, :9].all()


def test_a_window_of_one_step_is_per_step_dense() -> None:
    layer, dense = LocallyConnected1d(9, 3, 5, 1), psd.PerStepDense(9, 3, 5)
    dense.load_state_dict(layer.state_dict())
    x = torch.randn(4, 9, 3)
    assert torch.equal(layer(x), dense(x))


def test_a_window_of_all_steps_is_a_linear() -> None:
    layer, linear = LocallyConnected1d(9, 3, 5, 9), nn.Linear(27, 5)
    with torch.no_grad():
        layer.weight.copy_(linear.weight.mT.unsqueeze(0))
        layer.bias.copy_(linear.bias.unsqueeze(0))
    x = torch.randn(4, 9, 3)
    torch.testing.assert_close(layer(x)[:, 0], linear(x.flatten(1)))


def test_equal_weights_are_a_convolution() -> None:
    layer, conv = LocallyConnected1d(11, 3, 5, 4, 2), nn.Conv1d(3, 5, 4, 2)
    with torch.no_grad():
        layer.weight.copy_(conv.weight.permute(2, 1, 0).reshape(12, 5).expand(4, 12, 5))
        layer.bias.copy_(conv.bias.expand(4, 5))
    x = torch.randn(2, 11, 3)
    torch.testing.assert_close(layer(x), conv(x.mT).mT)


def test_starts_as_a_convolution_does() -> None:
    layer = LocallyConnected1d(102, 3, 5, 3)
    for parameter in (layer.weight, layer.bias):
        assert 0.97 / 3 < parameter.abs().max() <= 1 / 3
    before = layer.weight.clone()
    torch.manual_seed(1)
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)


def test_autocast() -> None:
    layer = LocallyConnected1d(9, 3, 5, 2)
    x = torch.randn(4, 9, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), atol=0.05, rtol=0.02)


def test_the_windows_take_no_memory() -> None:
    memory = pytest.importorskip("bench.memory", reason="needs pip install '.[bench]'")
    layer = LocallyConnected1d(256, 16, 1, 32, device="cpu").requires_grad_(False)
    x = torch.randn(8, 256, 16)
    layer(x)
    peak, results = memory.Tracker(torch.device("cpu")).peak_and_results(lambda: layer(x))
    windows = 8 * 225 * 32 * 16 * 4
    assert results == 8 * 225 * 4
    assert peak <= results + windows // 100


class ForwardInputs(TorchDispatchMode):
    """What the op is called with as x."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() == "per_step_dense::forward":
            self.seen.append(args[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(psd._ops.forward is None, reason="needs the compiled module")
def test_autocast_casts_x_and_not_its_windows() -> None:
    layer = LocallyConnected1d(9, 3, 5, 2)
    with torch.autocast("cpu", torch.bfloat16), ForwardInputs() as calls:
        layer(torch.randn(4, 9, 3))
    (windows,) = calls.seen
    assert (windows.dtype, windows.shape) == (torch.bfloat16, (4, 8, 6))
    assert windows.untyped_storage().nbytes() == 4 * 9 * 3 * 2


def test_compiled_and_exported() -> None:
    layer = LocallyConnected1d(9, 3, 5, 2, 2, activation="relu")
    x = torch.randn(4, 9, 3)
    expected = layer(x)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), expected)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(layer, (x,), dynamic_shapes={"input": {0: batch}}).module()
    torch.testing.assert_close(exported(x), expected)
    torch.testing.assert_close(exported(x[:3]), expected[:3])


def test_copies_states_and_repr() -> None:
    layer = LocallyConnected1d(12, 4, 8, 3, 2, activation="relu")
    assert repr(layer) == (
        "LocallyConnected1d(in_steps=12, in_features=4, out_features=8, kernel_size=3, stride=2, "
        "bias=True, activation='relu')"
    )
    assert layer.out_steps == 5
    x = torch.randn(2, 12, 4)
    other = LocallyConnected1d(12, 4, 8, 3, 2, activation="relu", device="meta")
    other = other.to_empty(device="cpu")
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    without = LocallyConnected1d(12, 4, 8, 3, bias=False)
    assert without.bias is None and "bias=False" in repr(without)


REFUSALS: list[Any] = [
    ((0, 4, 8, 3), {}, ValueError, f"in_steps {SIZE} 0"),
    ((12, 0, 8, 3), {}, ValueError, f"in_features {SIZE} 0"),
    ((12, 4, -1, 3), {}, ValueError, f"out_features {SIZE} -1"),
    ((12, 4, 8, 0), {}, ValueError, f"kernel_size {SIZE} 0"),
    ((12, 4, 8, 3, 0), {}, ValueError, f"stride {SIZE} 0"),
    ((12, 4, 8, 3.0), {}, TypeError, f"kernel_size {SIZE} float"),
    ((12, 4, 8, (3,)), {}, TypeError, f"kernel_size {SIZE} tuple"),
    ((12, 4, 8, True), {}, TypeError, f"kernel_size {SIZE} bool"),
    (
        (12, 4, 8, 13),
        {},
        ValueError,
        "kernel_size must be at most the steps of the input, 12; got 13",
    ),
    ((12, 4, 8, 3, 1, "relu"), {}, TypeError, "bias must be a bool; got str"),
    (
        (12, 4, 8, 3),
        {"activation": "elu"},
        ValueError,
        f"activation must be None or one of {NAMES}; got 'elu'",
    ),
    (
        (12, 4, 8, 3),
        {"dtype": torch.int32},
        TypeError,
        "dtype must be None, float32, float64, float16 or bfloat16; got int32",
    ),
]


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"), REFUSALS, ids=[case[-1] for case in REFUSALS]
)
def test_refuses_to_be_built(
    arguments: Any, keywords: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        LocallyConnected1d(*arguments, **keywords)
    assert str(raised.value) == f"per_step_dense: {text}"


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (torch.zeros(2, 11, 4), ValueError, SHAPE),
        (torch.zeros(2, 4, 12), ValueError, SHAPE),
        (torch.zeros(4), ValueError, SHAPE),
        ([[0.0]], TypeError, "input must be a torch.Tensor; got list"),
        (torch.zeros(2, 12, 4).int(), TypeError, "input must be float32, float64, float16 or bf"),
        (torch.zeros(2, 12, 4).double(), TypeError, "weight must have the dtype of x, float64"),
    ],
)
def test_refuses_inputs(x: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as raised:
        LocallyConnected1d(12, 4, 8, 3)(x)
    assert str(raised.value).startswith(f"per_step_dense: {text}")
