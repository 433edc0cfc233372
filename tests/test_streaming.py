"""Is a step of the layer the layer's step?"""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch
import torch._dynamo.testing
from tolerance import assert_as_close_as_torch

import per_step_dense as psd

STEPS, I, O = 7, 5, 3  # noqa: E741


def layer_and_input(
    device: torch.device, steps: int | tuple[int, ...] = STEPS, bias: bool = True
) -> tuple[psd.PerStepDense, torch.Tensor]:
    layer = psd.PerStepDense(steps, I, O, bias, activation="gelu", device=device)
    shape = (steps,) if isinstance(steps, int) else steps
    return layer, torch.randn(4, 2, *shape, I, device=device)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("t", [0, 3, 6, -1, -7, numpy.int64(2)])
def test_a_step(device: torch.device, t: int, bias: bool) -> None:
    layer, x = layer_and_input(device, bias=bias)
    y = layer.step(x[..., t, :], t)
    exact = layer.double()(x.double())[..., t, :]
    assert_as_close_as_torch(y, layer.float()(x)[..., t, :], exact)


@pytest.mark.parametrize(
    "t", [slice(None), slice(2, 5), slice(1, None, 2), slice(-2, None), slice(3, 3), slice(5, 99)]
)
def test_a_slice_of_steps(device: torch.device, t: slice) -> None:
    layer, x = layer_and_input(device)
    y = layer.step(x[..., t, :], t)
    assert y.shape == (4, 2, len(range(STEPS)[t]), O)
    assert_as_close_as_torch(y, layer(x)[..., t, :], layer.double()(x.double())[..., t, :])


def test_a_cell_of_a_grid(device: torch.device) -> None:
    layer, x = layer_and_input(device, steps=(2, 3))
    whole, exact = layer(x), layer.double()(x.double())
    layer.float()
    for row in range(-2, 2):
        for column in range(3):
            y = layer.step(x[..., row, column, :], (row, column))
            assert_as_close_as_torch(y, whole[..., row, column, :], exact[..., row, column, :])


def test_a_stream_of_all_steps_has_the_gradients_of_the_whole(device: torch.device) -> None:
    layer, x = layer_and_input(device)
    layer.double()
    x = x.double().requires_grad_()
    dy = torch.randn(4, 2, STEPS, O, dtype=torch.float64, device=device)
    leaves = (x, layer.weight, layer.bias)
    expected = torch.autograd.grad(layer(x), leaves, dy)
    stream = torch.stack([layer.step(x[..., t, :], t) for t in range(STEPS)], -2)
    for mine, whole in zip(torch.autograd.grad(stream, leaves, dy), expected, strict=True):
        torch.testing.assert_close(mine, whole)


def test_other_steps_have_no_gradient(device: torch.device) -> None:
    layer, x = layer_and_input(device)
    layer.step(x[..., 2, :], 2).sum().backward()
    for parameter in layer.parameters():
        touched = parameter.grad.flatten(1).abs().sum(1) > 0
        assert touched.tolist() == [t == 2 for t in range(STEPS)]


def test_without_a_batch(device: torch.device) -> None:
    layer, x = layer_and_input(device)
    torch.testing.assert_close(layer.step(x[0, 0, 4], 4), layer(x)[0, 0, 4])


def test_compiled_once_for_all_steps_of_a_stream() -> None:
    layer, x = layer_and_input(torch.device("cpu"))
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    step = torch.compile(layer.step, backend=counter, fullgraph=True, dynamic=True)
    whole = layer(x)
    for t in range(2, STEPS):
        torch.testing.assert_close(step(x[..., t, :], t), whole[..., t, :])
    assert counter.frame_count <= 2


@pytest.mark.parametrize(
    ("steps", "t", "error", "told"),
    [
        (STEPS, STEPS, ValueError, "t must be a step from -7 to 6; got 7"),
        (STEPS, -8, ValueError, "t must be a step from -7 to 6; got -8"),
        (STEPS, True, TypeError, "t must be an int or a slice; got bool"),
        (STEPS, 1.0, TypeError, "t must be an int or a slice; got float"),
        (STEPS, (1,), TypeError, "t must be an int or a slice; got tuple"),
        (STEPS, slice(None, None, -1), ValueError, "t must be a slice whose step is positive; got"),
        ((2, 3), 1, TypeError, "t must be a tuple of 2 ints, for steps is one; got int"),
        ((2, 3), (1,), ValueError, "t must have 2 ints, as steps has; got (1,)"),
        ((2, 3), (1, 3), ValueError, "t[1] must be a step from -3 to 2; got 3"),
        ((2, 3), (slice(1), 0), TypeError, "t[0] must be an int; got slice"),
    ],
)
def test_no_such_step(steps: Any, t: Any, error: type[Exception], told: str) -> None:
    layer, _ = layer_and_input(torch.device("cpu"), steps)
    with pytest.raises(error) as refusal:
        layer.step(torch.randn(4, I), t)
    assert str(refusal.value).startswith(f"per_step_dense: {told}")


@pytest.mark.parametrize(
    ("shape", "t", "told"),
    [
        ((4, I + 1), 0, "x_t must be (*, 5) = (*, in_features); got (4, 6)"),
        ((), 0, "x_t must be (*, 5) = (*, in_features); got ()"),
        ((4, 3, I), slice(2), "x_t must be (*, 2, 5) = (*, n, in_features); got (4, 3, 5)"),
        ((I,), slice(1), "x_t must be (*, 1, 5) = (*, n, in_features); got (5,)"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], t: int | slice, told: str) -> None:
    layer, _ = layer_and_input(torch.device("cpu"))
    with pytest.raises(ValueError) as refusal:
        layer.step(torch.randn(shape), t)
    assert str(refusal.value) == f"per_step_dense: {told}"


def test_input_of_another_dtype_or_kind() -> None:
    layer, x = layer_and_input(torch.device("cpu"))
    with pytest.raises(TypeError, match="weight must have the dtype of x, float64"):
        layer.step(x[..., 0, :].double(), 0)
    with pytest.raises(TypeError, match=r"x_t must be a torch\.Tensor; got list"):
        layer.step([1.0] * I, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="x_t must be a dense tensor; got layout sparse_coo"):
        layer.step(x[..., 0, :].to_sparse(), 0)
