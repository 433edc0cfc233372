"""Does autocast treat the op, and the reference, as it treats torch.nn.functional.linear?"""

from __future__ import annotations

import copy

import pytest
import torch
import truth
from cases import LAYERS, Arguments, Layer, of_sizes
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch.nn import functional as F

import per_step_dense as psd

ops = torch.ops.per_step_dense
ALL_LAYERS = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
LOW_PRECISIONS = pytest.mark.parametrize(
    "low", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"]
)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The first step by torch's own."""
    return F.linear(x[..., 0, :], weight[0].t(), None if bias is None else bias[0])


@ALL_LAYERS
@LOW_PRECISIONS
@pytest.mark.parametrize("x_dtype", ["low", "float32"])
def test_runs_in_the_autocast_dtype(
    device: torch.device, x_dtype: str, low: torch.dtype, layer: Layer
) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float32, device)
    if x_dtype == "low":
        args = args._replace(x=args.x.to(low))
    with torch.autocast(device.type, low):
        y = layer(*args, activation="gelu")
        assert y.dtype == linear(*args).dtype == low
    rounded = Arguments(*(tensor.to(low) for tensor in args))
    assert torch.equal(y, layer(*rounded, activation="gelu"))
    exact = truth.per_step_dense(*map(truth.in_fp64, rounded), activation="gelu")
    assert_as_close_as_torch(y, psd.reference.per_step_dense(*rounded, activation="gelu"), exact)


@ALL_LAYERS
def test_float64_is_left_alone(device: torch.device, layer: Layer) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float64, device)
    with torch.autocast(device.type, torch.bfloat16):
        y = layer(*args)
        assert y.dtype == linear(*args).dtype == torch.float64
    torch.testing.assert_close(y, truth.per_step_dense(*args))


@ALL_LAYERS
def test_float64_does_not_mix_with_what_is_cast(device: torch.device, layer: Layer) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float32, device)
    mixed = args._replace(x=args.x.double())
    with torch.autocast(device.type, torch.bfloat16):
        with pytest.raises(RuntimeError):
            linear(*mixed)
        with pytest.raises(
            TypeError, match="weight must have the dtype of x, float64; got bfloat16"
        ):
            layer(*mixed)


@ALL_LAYERS
@LOW_PRECISIONS
def test_gradients_come_back_in_the_parameters_dtype(
    device: torch.device, low: torch.dtype, layer: Layer
) -> None:
    args = Arguments(
        *(tensor.requires_grad_() for tensor in of_sizes(6, 5, 7, 9, torch.float32, device))
    )
    with torch.autocast(device.type, low):
        y = layer(*args, activation="tanh")
    dy = torch.randn_like(y)
    actual = torch.autograd.grad(y, args, dy)
    rounded = Arguments(*(tensor.detach().to(low).requires_grad_() for tensor in args))
    torchs = psd.reference.per_step_dense(*rounded, activation="tanh")
    exact_args = Arguments(*map(truth.in_fp64, rounded))
    exact = truth.per_step_dense(*exact_args, activation="tanh")
    for ours, theirs, true in zip(
        actual,
        torch.autograd.grad(torchs, rounded, dy),
        torch.autograd.grad(exact, exact_args, dy.double()),
        strict=True,
    ):
        assert ours.dtype == torch.float32
        assert_as_close_as_torch(ours.to(low), theirs, true)


@ALL_LAYERS
def test_nested_disabled_region_keeps_float32(device: torch.device, layer: Layer) -> None:
    args = of_sizes(6, 5, 7, 9, torch.float32, device)
    expected = layer(*args)
    with (
        torch.autocast(device.type, torch.bfloat16),
        torch.autocast(device.type, enabled=False),
    ):
        y = layer(*args)
    assert y.dtype == torch.float32
    assert torch.equal(y, expected)


def test_a_parameter_is_cast_once(device: torch.device) -> None:
    """The cached cast that F.linear shares: the second use finds the first one's copy."""
    args = of_sizes(6, 5, 7, 9, torch.float32, device)
    x, weight = (tensor.clone().requires_grad_() for tensor in args[:2])  # views are not cached
    saved = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.data_ptr())
        return tensor

    with (
        torch.autocast(device.type, torch.bfloat16),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        first, second = psd.per_step_dense(x, weight), psd.per_step_dense(x, weight)
    assert torch.equal(first, second)
    assert len(saved) == 4  # x and weight of either call
    assert saved[:2] == saved[2:]


def test_autocast_of_another_device_changes_nothing() -> None:
    args = of_sizes(6, 5, 7, 9, torch.float32, "cpu")
    expected = psd.per_step_dense(*args)
    with torch.autocast("xpu" if not torch.cuda.is_available() else "cuda", torch.bfloat16):
        y = psd.per_step_dense(*args)
    assert torch.equal(y, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_other_ops_compute_in_the_dtypes_they_are_given(
    device: torch.device, kernel: str, dtype: torch.dtype
) -> None:
    """Whatever torch's own, of which the reference is made, would cast."""
    x, weight, bias = of_sizes(6, 5, 7, 9, dtype, device)
    dz = torch.randn(6, 5, 9, device=device).to(dtype)
    lengths = torch.tensor([5, 0, 3, 1, 5, 2])
    batch_sizes = torch.tensor([6, 6, 6, 6, 6])

    def results() -> list[Tensor]:
        of_sums = torch.zeros_like(weight), torch.zeros_like(bias)
        return [
            *ops.forward_with_preactivation(x, weight, bias, "gelu", kernel),
            *ops.backward(dz, x, weight, True, kernel),
            ops.backward_accumulate(dz, x, weight, *of_sums, kernel),
            *of_sums,
            ops.activation_backward(dz, dz, "silu", kernel),
            *ops.ragged_forward_with_preactivation(x, weight, bias, lengths, "gelu", kernel),
            *ops.ragged_backward(dz, x, weight, lengths, 5, True, kernel),
            *ops.ragged_backward(
                dz.flatten(0, 1), x.flatten(0, 1), weight, batch_sizes, 5, True, kernel
            ),
        ]

    expected = results()
    with torch.autocast(device.type, torch.bfloat16):
        found = results()
    for ours, without in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert torch.equal(ours, without)


# Scaled losses


@pytest.mark.parametrize("overflows", [False, True], ids=["taken", "skipped"])
def test_a_scaled_step_is_the_unscaled_one_or_none(device: torch.device, overflows: bool) -> None:
    """By GradScaler, whose scale halves where gradients overflow."""
    layers = [psd.PerStepDense(5, 7, 9, activation="gelu", device=device) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    before = [parameter.clone() for parameter in layers[0].parameters()]
    x = torch.randn(6, 5, 7, device=device)
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**40 if overflows else 2.0**8)
    scaled, plain = (torch.optim.SGD(layer.parameters(), lr=0.1) for layer in layers)
    with torch.autocast(device.type, torch.float16):
        losses = [layer(x).float().square().mean() for layer in layers]
    scaler.scale(losses[0]).backward()
    scaler.step(scaled)
    scaler.update()
    losses[1].backward()
    plain.step()
    if overflows:
        assert scaler.get_scale() == 2.0**39
        assert all(map(torch.equal, layers[0].parameters(), before))
        return
    assert not any(map(torch.equal, layers[0].parameters(), before))
    for mine, exact in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-2, atol=1e-4)


@LOW_PRECISIONS
def test_16_bit_parameters_need_no_autocast(device: torch.device, low: torch.dtype) -> None:
    layer = psd.PerStepDense(5, 7, 9, activation="gelu", device=device, dtype=low)
    x = torch.randn(6, 5, 7, device=device, dtype=low)
    y = layer(x)
    assert y.dtype == low
    with torch.autocast(device.type, low):
        assert torch.equal(layer(x), y)


def test_scaled_gradients_survive_where_fp16_would_flush_them(device: torch.device) -> None:
    """Through two layers, so that float16 gradients pass from one to the other."""
    sizes = {"first": (5, 7, 9), "second": (5, 9, 3)}
    model = torch.nn.Sequential(
        *(psd.PerStepDense(*size, activation="tanh", device=device) for size in sizes.values())
    )
    exact_model = copy.deepcopy(model).double()
    x = torch.randn(64, 5, 7, device=device)

    def loss(model: torch.nn.Module, x: Tensor) -> Tensor:
        return model(x).float().sum() * 2.0**-30

    def gradients(scale: float) -> list[Tensor]:
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        optimizer.zero_grad()
        scaler = torch.amp.GradScaler(device.type, init_scale=scale)
        with torch.autocast(device.type, torch.float16):
            scaled = scaler.scale(loss(model, x))
        scaled.backward()
        scaler.unscale_(optimizer)
        return [parameter.grad.clone() for parameter in model.parameters()]

    assert not any(gradient.any() for gradient in gradients(1.0))
    exact_model(x.double()).sum().mul(2.0**-30).backward()
    for ours, parameter in zip(gradients(2.0**30), exact_model.parameters(), strict=True):
        assert ours.dtype == torch.float32
        largest = parameter.grad.abs().max().item()
        error = (ours.double() - parameter.grad).abs().max().item()
        assert error < 0.01 * largest


@LOW_PRECISIONS
def test_16_bit_parameters_train_as_torchs_own(device: torch.device, low: torch.dtype) -> None:
    layer = psd.PerStepDense(5, 7, 9, activation="gelu", device=device, dtype=low)
    x = torch.randn(6, 5, 7, device=device, dtype=low, requires_grad=True)
    dy = torch.randn(6, 5, 9, device=device, dtype=low)
    args = Arguments(x, layer.weight, layer.bias)
    found = torch.autograd.grad(layer(x), args, dy)
    torchs = torch.autograd.grad(psd.reference.per_step_dense(*args, activation="gelu"), args, dy)
    exact_args = Arguments(*map(truth.in_fp64, args))
    exact = truth.per_step_dense(*exact_args, activation="gelu")
    true_gradients = torch.autograd.grad(exact, exact_args, dy.double())
    for ours, theirs, true in zip(found, torchs, true_gradients, strict=True):
        assert ours.dtype == low
        assert_as_close_as_torch(ours, theirs, true)


@LOW_PRECISIONS
def test_16_bit_parameters_are_cast_to_the_other_16_bits(
    device: torch.device, low: torch.dtype
) -> None:
    other = torch.float16 if low is torch.bfloat16 else torch.bfloat16
    layer = psd.PerStepDense(5, 7, 9, activation="gelu", device=device, dtype=low)
    x = torch.randn(6, 5, 7, device=device)
    with torch.autocast(device.type, other):
        y = layer(x)
        assert y.dtype == linear(x, layer.weight, layer.bias).dtype == other
    y.float().sum().backward()
    cast = copy.deepcopy(layer).to(other)
    cast.zero_grad()
    expected = cast(x.to(other))
    assert torch.equal(y, expected)
    expected.float().sum().backward()
    assert layer.weight.grad.dtype == layer.bias.grad.dtype == low
    assert torch.equal(layer.weight.grad, cast.weight.grad.to(low))
    assert torch.equal(layer.bias.grad, cast.bias.grad.to(low))
