"""Are the derivatives those of the formula, of every order and through every subset?"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import truth
from cases import (
    DTYPES,
    LAYOUTS,
    Arguments,
    arguments,
    dtype_id,
    of_sizes,
    small_integers,
)
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import per_step_dense as psd

ops = torch.ops.per_step_dense

ALL_ACTIVATIONS = pytest.mark.parametrize("activation", truth.ACTIVATIONS)
SUBSETS = {
    "+".join(names): names
    for size in (1, 2, 3)
    for names in itertools.combinations(Arguments._fields, size)
}
ALL_SUBSETS = pytest.mark.parametrize("differentiated", SUBSETS.values(), ids=SUBSETS)


def requiring_grad(args: Arguments, names: tuple[str, ...] = Arguments._fields) -> Arguments:
    """Leaves in the same memory layout; those named require a gradient."""
    return Arguments(
        *(
            tensor if tensor is None else tensor.detach().requires_grad_(name in names)
            for name, tensor in zip(Arguments._fields, args, strict=True)
        )
    )


def small(device: torch.device, names: tuple[str, ...] = Arguments._fields) -> Arguments:
    return requiring_grad(of_sizes(3, 2, 4, 3, torch.float64, device), names)


def gradients(
    function: Callable[..., Tensor], args: Arguments, activation: str | None, dy: Tensor
) -> list[Tensor]:
    leaves = [tensor for tensor in args if tensor is not None and tensor.requires_grad]
    return list(torch.autograd.grad(function(*args, activation=activation), leaves, dy))


def assert_gradients_match(args: Arguments, activation: str | None) -> None:
    args = requiring_grad(args)
    dy = torch.randn_like(psd.per_step_dense(*args))
    actual = gradients(psd.per_step_dense, args, activation, dy)
    torchs = gradients(psd.reference.per_step_dense, args, activation, dy)
    exact_args = Arguments(*map(truth.in_fp64, args))
    exact = gradients(truth.per_step_dense, exact_args, activation, dy.double())
    assert len(actual) == len(exact) == 3 - (args.bias is None)
    for ours, theirs, true in zip(actual, torchs, exact, strict=True):
        assert_as_close_as_torch(ours, theirs, true)


# First order, values


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", ["simt", "tiny", "sm80"])
def test_gradients_of_every_kernel_that_is_asked_for(
    gpu: torch.device, kernel: str, layout: str
) -> None:
    args = arguments(layout, torch.bfloat16, gpu)
    with psd.use_kernel(kernel):
        assert_gradients_match(args, "relu")


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=dtype_id)
@pytest.mark.parametrize(
    "sizes",
    [
        *((1, 3, 8, 8), (3, 70, 16, 24), (64, 2, 128, 256), (200, 3, 264, 136)),
        *((1000, 2, 1024, 24), (5000, 4, 64, 64), (640, 16, 512, 1024), (70000, 3, 64, 64)),
    ],
    ids=str,
)
def test_hoppers_gradients_match_fp64(
    hopper: torch.device,
    sizes: tuple[int, int, int, int],
    dtype: torch.dtype,
    activation: str | None,
) -> None:
    args = of_sizes(*sizes, dtype, hopper)
    with psd.use_kernel("sm90"):
        assert_gradients_match(args, activation)
        assert_gradients_match(args._replace(bias=None), activation)
        assert_gradients_match(
            args._replace(weight=args.weight[:1].expand_as(args.weight)), activation
        )


def test_a_gradient_that_is_expanded_is_copied_for_hopper(hopper: torch.device) -> None:
    args = requiring_grad(small_integers(300, 3, 64, 72, torch.bfloat16, hopper))
    with psd.use_kernel("sm90"):
        psd.per_step_dense(*args).sum().backward()
    ones = torch.ones(300, 3, 72, dtype=torch.float64, device=hopper)
    exact_args = Arguments(*map(truth.in_fp64, args))
    exact = gradients(truth.per_step_dense, exact_args, None, ones)
    for arg, true in zip(args, exact, strict=True):
        assert torch.equal(arg.grad, true.to(torch.bfloat16))


@pytest.mark.parametrize("layout", LAYOUTS)
@ALL_ACTIVATIONS
def test_float32_gradients_match_fp64(
    device: torch.device, activation: str | None, layout: str
) -> None:
    assert_gradients_match(arguments(layout, torch.float32, device), activation)


@ALL_ACTIVATIONS
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_id)
def test_gradients_match_fp64(
    device: torch.device, dtype: torch.dtype, activation: str | None
) -> None:
    assert_gradients_match(of_sizes(40, 3, 20, 24, dtype, device), activation)


@pytest.mark.parametrize("long", ["b", "i", "o"])
def test_gradients_of_long_sums_match_fp64(device: torch.device, long: str) -> None:
    sizes = {"b": 5, "t": 2, "i": 6, "o": 7, long: 3000}
    assert_gradients_match(of_sizes(*sizes.values(), torch.float32, device), "tanh")


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("dtype", DTYPES, ids=dtype_id)
def test_gradients_of_small_integers_are_exact(
    device: torch.device, dtype: torch.dtype, activation: str | None
) -> None:
    args = requiring_grad(small_integers(20, 5, 17, 19, dtype, device))
    y = psd.per_step_dense(*args)
    dy = torch.randint(-3, 4, y.shape, device=device).to(dtype)
    actual = gradients(psd.per_step_dense, args, activation, dy)
    exact_args = Arguments(*map(truth.in_fp64, args))
    exact = gradients(truth.per_step_dense, exact_args, None, dy.double())
    if activation == "relu":  # clamp's own derivative at 0 is 1, relu's is 0
        exact = gradients(truth.per_step_dense, exact_args, None, (dy * (y > 0)).double())
    for ours, true in zip(actual, exact, strict=True):
        assert torch.equal(ours, true.to(dtype))


@pytest.mark.parametrize("sizes", [(0, 2, 3, 4), (5, 0, 3, 4), (5, 2, 0, 4), (5, 2, 3, 0)], ids=str)
@ALL_ACTIVATIONS
def test_gradients_of_zero_sizes_are_empty_sums(
    device: torch.device, activation: str | None, sizes: tuple[int, int, int, int]
) -> None:
    args = requiring_grad(of_sizes(*sizes, torch.float32, device))
    dy = torch.ones(sizes[0], sizes[1], sizes[3], device=device)
    actual = gradients(psd.per_step_dense, args, activation, dy)
    expected = gradients(psd.reference.per_step_dense, args, activation, dy)
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_gradient_is_written(device: torch.device, layout: str) -> None:
    args = requiring_grad(arguments(layout, torch.float32, device))
    torch.use_deterministic_algorithms(True)  # fills every new tensor with NaN
    try:
        y = psd.per_step_dense(*args, activation="silu")
        actual = torch.autograd.grad(y, [t for t in args if t is not None], torch.ones_like(y))
    finally:
        torch.use_deterministic_algorithms(False)
    assert not any(gradient.isnan().any() for gradient in actual)


@ALL_ACTIVATIONS
def test_expanded_gradient(device: torch.device, activation: str | None) -> None:
    args = requiring_grad(arguments("contiguous", torch.float64, device))
    psd.per_step_dense(*args, activation=activation).sum().backward()  # dy has strides of 0
    exact = Arguments(*map(truth.in_fp64, args))
    truth.per_step_dense(*exact, activation=activation).sum().backward()
    for ours, true in zip(args, exact, strict=True):
        torch.testing.assert_close(ours.grad, true.grad)


@pytest.mark.parametrize("lie", ["transposed", "strided", "swapped_batch_dims"])
def test_gradient_of_any_strides(device: torch.device, lie: str) -> None:
    args = requiring_grad(arguments("two_batch_dims", torch.float64, device))
    y = psd.per_step_dense(*args, activation="gelu")  # (2, 3, T, O)
    values = torch.randn_like(y)
    dy = {
        "transposed": values.mT.contiguous().mT,
        "strided": torch.stack([values, values], -1)[..., 1],
        "swapped_batch_dims": values.transpose(0, 1).contiguous().transpose(0, 1),
    }[lie]
    assert dy.shape == y.shape
    assert not dy.is_contiguous()
    actual = torch.autograd.grad(y, args, dy)
    exact_args = Arguments(*map(truth.in_fp64, args))
    exact = gradients(truth.per_step_dense, exact_args, "gelu", dy)
    for ours, true in zip(actual, exact, strict=True):
        torch.testing.assert_close(ours, true)


def test_gradient_through_a_view_of_x(device: torch.device) -> None:
    args = small(device)
    signal = torch.randn(3, 6, dtype=torch.float64, device=device, requires_grad=True)

    def of_windows(signal: Tensor) -> Tensor:
        return psd.per_step_dense(signal.unfold(1, 4, 2), args.weight, args.bias)

    assert gradcheck(of_windows, signal)


@ALL_ACTIVATIONS
def test_nan_and_inf_gradients_are_torchs(device: torch.device, activation: str | None) -> None:
    args = of_sizes(4, 3, 1, 5, torch.float32, device)
    args.weight.fill_(1)
    args.bias.zero_()
    args.x[0] = torch.nan
    args.x[1] = torch.inf
    args.x[2] = -torch.inf
    args.x[3] = 0  # relu's kink
    args = requiring_grad(args)
    dy = torch.tensor([1.0, 0.0, torch.nan, torch.inf, -torch.inf], device=device).expand(4, 3, 5)
    for layer in (dy, dy.roll(1, -1), torch.ones_like(dy)):
        actual = gradients(psd.per_step_dense, args, activation, layer)
        expected = gradients(psd.reference.per_step_dense, args, activation, layer)
        for ours, theirs in zip(actual, expected, strict=True):
            torch.testing.assert_close(ours, theirs, equal_nan=True)


# Every order, by finite differences


@ALL_SUBSETS
@ALL_ACTIVATIONS
def test_gradcheck(
    device: torch.device, activation: str | None, differentiated: tuple[str, ...]
) -> None:
    args = tuple(small(device, differentiated))
    assert gradcheck(lambda *args: psd.per_step_dense(*args, activation=activation), args)


@ALL_SUBSETS
@ALL_ACTIVATIONS
def test_gradgradcheck(
    device: torch.device, activation: str | None, differentiated: tuple[str, ...]
) -> None:
    args = small(device, differentiated)
    assert gradgradcheck(
        lambda *args: psd.per_step_dense(*args, activation=activation), tuple(args)
    )


@pytest.mark.parametrize("differentiated", [("x",), ("weight",), ("x", "weight")], ids=str)
def test_gradgradcheck_without_bias(device: torch.device, differentiated: tuple[str, ...]) -> None:
    x, weight, _ = small(device, differentiated)
    assert gradcheck(psd.per_step_dense, (x, weight))
    assert gradgradcheck(psd.per_step_dense, (x, weight))


@ALL_SUBSETS
@ALL_ACTIVATIONS
def test_second_order_through_all_gradients_at_once(
    device: torch.device, activation: str | None, differentiated: tuple[str, ...]
) -> None:
    """gradgradcheck differentiates one gradient at a time, so never sees what they share."""
    args = small(device, differentiated)
    dy = torch.randn(3, 2, 3, dtype=torch.float64, device=device, requires_grad=True)
    leaves = [tensor for tensor in args if tensor.requires_grad]
    directions = [torch.randn_like(leaf) for leaf in leaves]

    def second_derivatives(layer: Callable[..., Tensor]) -> tuple[Tensor | None, ...]:
        y = layer(*args, activation=activation)
        first = torch.autograd.grad(y, leaves, dy, create_graph=True)
        return torch.autograd.grad(
            first, [*leaves, dy], directions, allow_unused=True, materialize_grads=True
        )

    actual = second_derivatives(psd.per_step_dense)
    for ours, true in zip(actual, second_derivatives(truth.per_step_dense), strict=True):
        torch.testing.assert_close(ours, true)


@pytest.mark.parametrize("activation", [None, "gelu", "tanh"])
def test_third_order(device: torch.device, activation: str | None) -> None:
    args = requiring_grad(of_sizes(2, 2, 2, 2, torch.float64, device))

    def first_derivatives(*args: Tensor) -> tuple[Tensor, ...]:
        y = psd.per_step_dense(*args, activation=activation)
        return torch.autograd.grad(y.square().sum(), args, create_graph=True)

    assert gradgradcheck(first_derivatives, tuple(args))


# The ops that the gradient is made of


@pytest.mark.parametrize("activation", ["none", "relu", "gelu", "tanh"])
def test_forward_with_preactivation_is_differentiable(
    device: torch.device, activation: str
) -> None:
    args = small(device)

    def op(*args: Tensor) -> tuple[Tensor, Tensor]:
        return ops.forward_with_preactivation(*args, activation)

    y, z = op(*args)
    named = None if activation == "none" else activation
    torch.testing.assert_close(z, truth.per_step_dense(*args))
    torch.testing.assert_close(y, truth.per_step_dense(*args, activation=named))
    assert gradcheck(op, tuple(args))
    assert gradgradcheck(op, tuple(args))
    assert gradcheck(lambda *args: op(*args)[1], tuple(args))  # y unused
    assert gradgradcheck(lambda *args: op(*args)[1], tuple(args))


@pytest.mark.parametrize("wants_dbias", [True, False], ids=["dbias", "no_dbias"])
@pytest.mark.parametrize("given", ["x+weight", "x", "weight", "neither"])
def test_backward_op(device: torch.device, given: str, wants_dbias: bool) -> None:
    x, weight, _ = small(device)
    dz = torch.randn(3, 2, 3, dtype=torch.float64, device=device, requires_grad=True)
    x_or_none = x if "x" in given else None
    weight_or_none = weight if "weight" in given else None

    def op(dz: Tensor, *factors: Tensor) -> tuple[Tensor, ...]:
        outputs = ops.backward(dz, x_or_none, weight_or_none, wants_dbias)
        return tuple(output for output in outputs if output is not None)

    dx, dweight, dbias = ops.backward(dz, x_or_none, weight_or_none, wants_dbias)
    expected = (
        None if weight_or_none is None else torch.einsum("bto,tio->bti", dz, weight),
        None if x_or_none is None else torch.einsum("bti,bto->tio", x, dz),
        dz.sum(0) if wants_dbias else None,
    )
    for actual, true in zip((dx, dweight, dbias), expected, strict=True):
        assert (actual is None) == (true is None)
        if true is not None:
            torch.testing.assert_close(actual, true)
    factors = [t for t in (dz, x_or_none, weight_or_none) if t is not None]
    if any(true is not None for true in expected):
        assert gradcheck(op, factors)
        assert gradgradcheck(op, factors)


@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (3, 2, 4), (2, 3, 2, 4)], ids=str)
@ALL_ACTIVATIONS
def test_activation_backward_op(
    device: torch.device, activation: str | None, shape: tuple[int, ...]
) -> None:
    z = torch.randn(shape, dtype=torch.float64, device=device, requires_grad=True)
    dy = torch.randn(shape, dtype=torch.float64, device=device, requires_grad=True)
    y = truth.ACTIVATIONS[activation](z)
    (expected,) = torch.autograd.grad(y, z, dy)
    saved = z if activation in ("gelu", "gelu_tanh", "silu") else y
    saved = saved.detach().requires_grad_()
    name = activation or "none"
    torch.testing.assert_close(ops.activation_backward(dy, saved, name), expected)
    with torch.no_grad():
        dz = ops.activation_backward(dy, saved, name)
    torch.testing.assert_close(dz, expected)
    assert dz.untyped_storage().data_ptr() != dy.untyped_storage().data_ptr()
    if activation == "relu":
        saved = z  # away from the kink, on which y = 0 lies
    assert gradcheck(lambda *args: ops.activation_backward(*args, name), (dy, saved))
