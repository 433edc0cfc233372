"""Padded samples with lengths: are rows past a length zero, without gradient and without work?"""

from __future__ import annotations

import cases
import pytest
import torch
import truth
from ragged import (
    LAYERS,
    LENGTHS,
    I,
    O,
    T,
    assert_values_and_gradients,
    each_dtype,
    each_layer,
    padded,
    sample_by_sample,
)
from rows_computed import rows_in_products
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import per_step_dense as psd

each_batch = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


def arguments(
    lengths: tuple[int, ...], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> list[Tensor]:
    new = cases.New(dtype, device)
    tensors = padded(new, lengths, T, I), new(T, I, O), new(T, O)
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("activation", truth.ACTIVATIONS, ids=str)
@each_dtype
@each_batch
@each_layer
def test_values_and_gradients(
    layer, lengths: tuple[int, ...], dtype: torch.dtype, activation: str | None, device
) -> None:
    args = arguments(lengths, dtype, device)
    y = layer(*args, activation=activation, lengths=torch.tensor(lengths, dtype=torch.int64))
    assert y.is_contiguous()
    assert_values_and_gradients(y, args, lengths, activation)


@each_layer
def test_padding_is_neither_read_nor_given_a_gradient(layer) -> None:
    lengths = LENGTHS["any_order"]
    args = arguments(lengths, torch.float32)  # with NaN for padding
    y = layer(*args, activation="sigmoid", lengths=torch.tensor(lengths))
    gradients = torch.autograd.grad(y.sum(), args)
    assert y.isfinite().all() and all(gradient.isfinite().all() for gradient in gradients)
    for b, length in enumerate(lengths):
        assert torch.count_nonzero(y[b, length:]) == 0
        assert torch.count_nonzero(y[b, :length]) == length * O
        assert torch.count_nonzero(gradients[0][b, length:]) == 0


@each_layer
def test_no_gradient_comes_from_padding(layer) -> None:
    """Whatever is made of the zeros there."""
    lengths = LENGTHS["any_order"]
    args = arguments(lengths, torch.float64)
    y = layer(*args, activation="tanh", lengths=torch.tensor(lengths))
    dy = torch.randn_like(y)
    poisoned = dy.clone()
    for b, length in enumerate(lengths):
        poisoned[b, length:] = torch.inf
    expected = torch.autograd.grad(y, args, dy, retain_graph=True)
    for gradient, same in zip(torch.autograd.grad(y, args, poisoned), expected, strict=True):
        assert torch.equal(gradient, same)


@each_layer
def test_a_step_that_no_sample_has_takes_no_gradient(layer) -> None:
    args = arguments(LENGTHS["nobody_reaches_the_end"], torch.float32)
    y = layer(*args, lengths=torch.tensor(LENGTHS["nobody_reaches_the_end"]))
    _, dweight, dbias = torch.autograd.grad(y.sum(), args)
    for gradient in dweight, dbias:
        assert torch.count_nonzero(gradient[3:]) == 0
        assert all(torch.count_nonzero(own) > 0 for own in gradient[:3])


@pytest.mark.parametrize("name", ["sorted", "any_order", "some_empty"])
def test_any_number_of_derivatives(name: str) -> None:
    lengths = LENGTHS[name]
    args = arguments(lengths, torch.float64)
    args[0] = args[0].detach().nan_to_num().requires_grad_()  # numerical derivatives change it

    def layer(*tensors: Tensor) -> Tensor:
        return psd.per_step_dense(*tensors, activation="silu", lengths=torch.tensor(lengths))

    assert gradcheck(layer, args)
    assert gradgradcheck(layer, args)


@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (2, 1, 3), (0,), (2, 0)], ids=str)
@each_layer
def test_any_leading_dimensions(layer, shape: tuple[int, ...]) -> None:
    lengths = torch.arange(max(1, torch.Size(shape).numel())) % (T + 1)
    lengths = lengths[: torch.Size(shape).numel()].reshape(shape)
    x, weight, bias = cases.of_sizes(1, T, I, O, torch.float64, "cpu")
    x = torch.randn(*shape, T, I, dtype=torch.float64)
    y = layer(x, weight, bias, lengths=lengths)
    flat = sample_by_sample(x.reshape(-1, T, I), weight, bias, tuple(lengths.flatten().tolist()))
    torch.testing.assert_close(y, flat.reshape(*shape, T, O))


@pytest.mark.parametrize("layout", ["steps_first_x", "strided_x", "windows_x", "transposed_weight"])
def test_any_strides(layout: str) -> None:
    x, weight, bias = cases.arguments(layout, torch.float64)
    for lengths in ((5, 4, 3, 3, 1, 0), (2, 5, 4, 1, 0, 3)):
        y = psd.per_step_dense(x, weight, bias, lengths=torch.tensor(lengths))
        torch.testing.assert_close(y, sample_by_sample(x, weight, bias, lengths))


@each_batch
@pytest.mark.parametrize("needs", ["x", "weight", "bias", "weight_and_bias"])
def test_any_subset_of_the_gradients(lengths: tuple[int, ...], needs: str) -> None:
    args = arguments(lengths, torch.float64)
    wanted = [
        tensor
        for name, tensor in zip(("x", "weight", "bias"), args, strict=True)
        if name in needs.split("_and_")
    ]
    given = [tensor if any(tensor is one for one in wanted) else tensor.detach() for tensor in args]
    y = psd.per_step_dense(*given, lengths=torch.tensor(lengths, dtype=torch.int64))
    exact = sample_by_sample(*args, lengths)
    dy = torch.randn_like(exact)
    for found, expected in zip(
        torch.autograd.grad(y, wanted, dy), torch.autograd.grad(exact, wanted, dy), strict=True
    ):
        torch.testing.assert_close(found, expected.nan_to_num())


@each_batch
def test_no_padded_row_is_multiplied(lengths: tuple[int, ...]) -> None:
    args = arguments(lengths, torch.float64)  # which is ATen's on every CPU
    y, forward_rows = rows_in_products(
        lambda: psd.per_step_dense(*args, lengths=torch.tensor(lengths, dtype=torch.int64)), I * O
    )
    assert forward_rows == sum(lengths)
    _, backward_rows = rows_in_products(lambda: torch.autograd.grad(y.sum(), args), I * O)
    assert backward_rows == 2 * sum(lengths)  # for the gradients of x and of the weight


def test_the_layer_takes_lengths() -> None:
    layer = psd.PerStepDense(T, I, O, activation="relu")
    x, lengths = torch.randn(3, T, I), (4, 0, 2)
    y = layer(x, lengths=torch.tensor(lengths))
    expected = sample_by_sample(x, layer.weight, layer.bias, lengths, "relu")
    torch.testing.assert_close(y, expected)


# What is wrong, and how that is said.


def refusal(error: type[Exception], lengths: object, layer=psd.per_step_dense, **changes) -> str:
    args = {"x": torch.randn(3, T, I), "weight": torch.randn(T, I, O)} | changes
    with pytest.raises(error) as refused:
        layer(**args, lengths=lengths)
    assert type(refused.value) is error
    return str(refused.value)


@each_layer
def test_a_wrong_shape_is_refused(layer) -> None:
    text = "per_step_dense: lengths must have the shape of x without (T, I), (3,); got "
    assert refusal(ValueError, torch.tensor([1, 2]), layer) == text + "(2,)"
    assert refusal(ValueError, torch.tensor(2), layer) == text + "()"
    assert refusal(ValueError, torch.tensor([[1], [2], [3]]), layer) == text + "(3, 1)"


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bool, torch.uint8], ids=str)
@each_layer
def test_another_dtype_is_refused(layer, dtype: torch.dtype) -> None:
    text = f"per_step_dense: lengths must be int64; got {cases.dtype_id(dtype)}"
    assert refusal(TypeError, torch.ones(3, dtype=dtype), layer) == text


@pytest.mark.parametrize("lengths", [[1, 2, 3], (1, 2, 3), 3], ids=str)
@each_layer
def test_what_is_no_tensor_is_refused(layer, lengths: object) -> None:
    kind = type(lengths).__name__
    text = f"per_step_dense: lengths must be a torch.Tensor; got {kind}"
    assert refusal(TypeError, lengths, layer) == text


@each_layer
def test_lengths_out_of_range_are_refused(layer) -> None:
    text = "per_step_dense: lengths must lie between 0 and T = 5; got "
    assert refusal(ValueError, torch.tensor([5, 6, 1]), layer) == text + "6 of sample 1"
    assert refusal(ValueError, torch.tensor([5, 0, -1]), layer) == text + "-1 of sample 2"


@each_layer
def test_lengths_without_values_are_refused(layer) -> None:
    text = refusal(ValueError, torch.ones(3, dtype=torch.int64, device="meta"), layer)
    assert text == "per_step_dense: lengths must be on the CPU; got meta"


def test_lengths_on_another_device_are_refused(gpu: torch.device) -> None:
    for layer in LAYERS.values():
        text = refusal(ValueError, torch.tensor([1, 2, 3], device=gpu), layer)
        assert text == f"per_step_dense: lengths must be on the CPU; got {gpu}"


def test_a_grid_of_steps_refuses_lengths() -> None:
    with pytest.raises(ValueError, match=r"lengths must be None where steps is a tuple, \(2, 3\)"):
        psd.PerStepDense((2, 3), I, O)(torch.randn(4, 2, 3, I), lengths=torch.tensor([1, 2, 3, 4]))


@pytest.mark.parametrize("grad", [False, True])
def test_other_arguments_are_refused_as_ever(grad: bool) -> None:
    lengths = torch.tensor([1, 2, 3])
    weight = torch.randn(T + 1, I, O, requires_grad=grad)
    text = "per_step_dense: weight must be (T, I, O) with T = x.size(-2) = 5; got (6, 7, 9)"
    assert refusal(ValueError, lengths, weight=weight) == text
    text = "per_step_dense: bias must be (T, O) = (5, 9); got (9,)"
    assert refusal(ValueError, lengths, bias=torch.randn(O)) == text
    text = "per_step_dense: x must be (*, T, I), at least 2-D; got (7,)"
    assert all(
        refusal(ValueError, lengths, layer, x=torch.randn(I)) == text for layer in LAYERS.values()
    )
    assert refusal(TypeError, lengths, x=[1.0]).endswith("x must be a torch.Tensor; got list")
    text = "per_step_dense: activation must be None or one of relu, gelu, gelu_tanh, silu, tanh, "
    assert refusal(ValueError, lengths, activation="selu").startswith(text)


def test_use_kernel_is_obeyed(device: torch.device) -> None:
    args, lengths = arguments(LENGTHS["any_order"], torch.float64, device), LENGTHS["any_order"]
    with psd.use_kernel("reference"):
        y = psd.per_step_dense(*args, lengths=torch.tensor(lengths))
    torch.testing.assert_close(y, sample_by_sample(*args, lengths))
    if device.type == "cpu":
        with psd.use_kernel("simt"), pytest.raises(ValueError, match="needs CUDA tensors"):
            psd.per_step_dense(*args, lengths=torch.tensor(lengths))
