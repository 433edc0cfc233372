"""Are activations and their gradients right for every value, where results have 16 bits too?

Those are computed by approximations of a few instructions (``csrc/kernels/activation_math.cuh``).
On a GPU exponentials and reciprocals are approximate, too, by much less than what is allowed here.
"""

from __future__ import annotations

import emulator
import pytest
import torch
import truth
from torch import Tensor

import per_step_dense as psd

assert psd.__version__  # its import registers the ops

NAMES = [name for name in truth.ACTIVATIONS if name is not None]
DTYPES_OF_16_BITS = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
EVERY_ACTIVATION = pytest.mark.parametrize("name", NAMES)

# Beside half a unit in the last place: of what approximations are off by, and of values that are
# nearly nothing.
RELATIVE, ABSOLUTE = 6e-5, 4e-8


def values_of(dtype: torch.dtype) -> Tensor:
    """Every finite value of the dtype up to 120, and infinities and NaN."""
    every = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(dtype)
    return every[every.isnan() | every.isinf() | (every.abs() <= 120)]


def activated(values: Tensor, name: str) -> Tensor:
    """By a kernel: one layer of one weight, which is 1, for each value."""
    x = values.view(-1, 1, 1)
    y, _ = emulator.default_library().forward(x, torch.ones_like(x[:1]), None, name, kernel="tiny")
    return y.flatten()


def differentiated(values: Tensor, name: str) -> Tensor:
    dy = torch.ones_like(values).view(1, 1, -1)
    library = emulator.default_library()
    return library.activation_backward(dy, values.view(1, 1, -1), name).flatten()


def assert_rounded(actual: Tensor, exact: Tensor, dtype: torch.dtype, absolute: float) -> None:
    """Within half a unit in the last place, and a little more."""
    info = torch.finfo(dtype)
    half_a_unit = exact.abs() * info.eps / 2 + info.smallest_normal * info.eps / 2
    error = (actual.double() - exact).abs()
    allowed = half_a_unit * (1 + info.eps) + RELATIVE * exact.abs() + absolute
    worst = (error - allowed).argmax()
    assert (error <= allowed).all(), f"{actual[worst]} for {exact[worst]}"


@EVERY_ACTIVATION
@DTYPES_OF_16_BITS
def test_every_value_is_rounded_right(dtype: torch.dtype, name: str) -> None:
    values = values_of(dtype)
    finite = values[values.isfinite()]
    exact = truth.ACTIVATIONS[name](finite.double())
    if name == "gelu":  # of the formula, what cancels below 0
        exact = finite.double() * torch.special.erfc(-finite.double() / 2**0.5) / 2
    assert_rounded(activated(finite, name), exact, dtype, ABSOLUTE)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
@DTYPES_OF_16_BITS
def test_every_gradient_is_rounded_right(dtype: torch.dtype, name: str) -> None:
    """Of those that are differentiated from z; sums of two terms that may cancel."""
    z = values_of(dtype)
    finite = z[z.isfinite()]
    at = finite.double().requires_grad_()
    (exact,) = torch.autograd.grad(truth.ACTIVATIONS[name](at).sum(), at)
    assert_rounded(differentiated(finite, name), exact, dtype, RELATIVE)


@EVERY_ACTIVATION
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_what_is_not_finite_is_the_formulas(dtype: torch.dtype, name: str) -> None:
    """torch's own gelu of infinity is NaN in some dtypes."""
    values = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.0, -0.0], dtype=dtype)
    exact = truth.ACTIVATIONS[name](values.double()).to(dtype)
    torch.testing.assert_close(activated(values, name), exact, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_gradients_of_what_is_not_finite_are_torchs(dtype: torch.dtype, name: str) -> None:
    values = torch.tensor([torch.inf, -torch.inf, torch.nan], dtype=dtype)
    torchs = torch.ops.per_step_dense.activation_backward(torch.ones_like(values), values, name)
    actual = differentiated(values, name)
    assert torch.equal(actual.isnan(), torchs.isnan())
    assert torch.equal(actual.isinf(), torchs.isinf())
