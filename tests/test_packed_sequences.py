"""PackedSequence in, PackedSequence out: values, gradients, what is kept and what is refused."""

from __future__ import annotations

import copy

import cases
import pytest
import torch
import truth
from ragged import (
    PACKABLE,
    I,
    O,
    T,
    assert_values_and_gradients,
    each_dtype,
    each_layer,
    packed,
    sample_by_sample,
    unpacked,
)
from rows_computed import rows_in_products
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import per_step_dense as psd

each_batch = pytest.mark.parametrize("lengths", PACKABLE.values(), ids=PACKABLE)


def arguments(
    lengths: tuple[int, ...], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> list[Tensor]:
    args = cases.of_sizes(len(lengths), T, I, O, dtype, device)
    return [tensor.requires_grad_() for tensor in args]


@pytest.mark.parametrize("activation", truth.ACTIVATIONS, ids=str)
@each_dtype
@each_batch
@each_layer
def test_values_and_gradients(
    layer, lengths: tuple[int, ...], dtype: torch.dtype, activation: str | None, device
) -> None:
    args = arguments(lengths, dtype, device)
    sequence = packed(args[0], lengths)
    result = layer(sequence, *args[1:], activation=activation)
    assert result.data.is_contiguous()
    assert_values_and_gradients(unpacked(result, T), args, lengths, activation)


@each_batch
@each_layer
def test_batch_sizes_and_indices_are_kept(layer, lengths: tuple[int, ...]) -> None:
    x, weight, bias = arguments(lengths, torch.float32)
    sequence = packed(x, lengths)
    result = layer(sequence, weight, bias)
    assert type(result) is PackedSequence
    assert result.data.shape == (sum(lengths), O)
    for kept in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        assert torch.equal(getattr(result, kept), getattr(sequence, kept))


def test_a_layer_takes_no_lengths_beside() -> None:
    x, *_ = arguments((5, 3, 1), torch.float32)
    layer = psd.PerStepDense(T, I, O)
    with pytest.raises(ValueError, match="lengths must be None with a PackedSequence"):
        layer(packed(x, (5, 3, 1)), lengths=torch.tensor([5, 3, 1]))


@each_layer
def test_a_sequence_of_no_steps(layer) -> None:
    _, weight, bias = arguments((1,), torch.float32)
    result = layer(
        PackedSequence(torch.zeros(0, I), torch.zeros(0, dtype=torch.int64)), weight, bias
    )
    assert result.data.shape == (0, O) and result.data.dtype is torch.float32


@each_layer
def test_a_sequence_that_was_sorted_has_no_indices(layer) -> None:
    x, weight, bias = arguments((5, 3, 1), torch.float32)
    sequence = pack_padded_sequence(x, torch.tensor([5, 3, 1]), batch_first=True)
    result = layer(sequence, weight, bias)
    assert sequence.sorted_indices is None  # enforce_sorted=True
    assert result.sorted_indices is None and result.unsorted_indices is None
    torch.testing.assert_close(unpacked(result, T), sample_by_sample(x, weight, bias, (5, 3, 1)))


class Model(nn.Module):
    """A dense layer per step between two LSTMs."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LSTM(4, I, batch_first=True)
        self.between = psd.PerStepDense(T, I, O, activation="tanh")
        self.after = nn.LSTM(O, 3, batch_first=True)

    def forward(self, sequence: PackedSequence) -> PackedSequence:
        sequence, _ = self.before(sequence)
        sequence, _ = self.after(self.between(sequence))
        return sequence

    def of_one_sample(self, x: Tensor) -> Tensor:
        """x is (1, n, 4): what the layers give without anybody beside it."""
        h, _ = self.before(x)
        weight, bias = self.between.weight[: x.size(1)], self.between.bias[: x.size(1)]
        h = truth.per_step_dense(h, weight, bias, activation="tanh")
        return self.after(h)[0]


@each_batch
def test_between_two_lstms(lengths: tuple[int, ...]) -> None:
    model = Model().double()
    x = torch.randn(len(lengths), T, 4, dtype=torch.float64, requires_grad=True)
    y = unpacked(model(packed(x, lengths)), T)
    others = copy.deepcopy(model)
    own_x = x.detach().clone().requires_grad_()
    for b, length in enumerate(lengths):
        alone = others.of_one_sample(own_x[b : b + 1, :length])[0]
        torch.testing.assert_close(y[b, :length], alone)
        assert torch.count_nonzero(y[b, length:]) == 0
        alone.square().sum().backward()
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, own_x.grad)
    for parameter, own in zip(model.parameters(), others.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, own.grad)


@each_layer
def test_steps_that_nobody_reaches_get_a_gradient_of_zero(layer) -> None:
    lengths = (2, 3, 1)
    x, weight, bias = arguments(lengths, torch.float32)
    result = layer(packed(x, lengths), weight, bias, activation="sigmoid")
    assert len(result.batch_sizes) == 3 < T
    for gradient in torch.autograd.grad(result.data.sum(), (weight, bias)):
        assert torch.count_nonzero(gradient[3:]) == 0
        assert all(torch.count_nonzero(own) > 0 for own in gradient[:3])


@each_batch
def test_any_number_of_derivatives(lengths: tuple[int, ...]) -> None:
    if sum(lengths) > 100:
        pytest.skip("numerical derivatives of so many rows take long and show nothing more")
    args = arguments(lengths, torch.float64)

    def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return psd.per_step_dense(packed(x, lengths), weight, bias, activation="gelu").data

    assert gradcheck(layer, args)
    assert gradgradcheck(layer, args)


@pytest.mark.parametrize("needs", ["x", "weight", "bias", "weight_and_bias"])
def test_any_subset_of_the_gradients_and_of_the_second(needs: str) -> None:
    lengths = (2, 4, 1)
    wanted = needs.split("_and_")
    args = [
        tensor if name in wanted else tensor.detach()
        for name, tensor in zip(
            ("x", "weight", "bias"), arguments(lengths, torch.float64), strict=True
        )
    ]
    inputs = tuple(tensor for tensor in args if tensor.requires_grad)

    def layer(*given: Tensor) -> Tensor:
        left = list(given)
        x, weight, bias = (left.pop(0) if tensor.requires_grad else tensor for tensor in args)
        return psd.per_step_dense(packed(x, lengths), weight, bias, activation="tanh").data

    assert gradcheck(layer, inputs)
    assert gradgradcheck(layer, inputs)


@each_batch
def test_no_other_row_is_multiplied(lengths: tuple[int, ...]) -> None:
    x, weight, bias = arguments(lengths, torch.float64)
    sequence = packed(x, lengths)
    result, forward_rows = rows_in_products(
        lambda: psd.per_step_dense(sequence, weight, bias), I * O
    )
    assert forward_rows == sum(lengths)
    _, backward_rows = rows_in_products(
        lambda: torch.autograd.grad(result.data.sum(), (x, weight, bias)), I * O
    )
    assert backward_rows == 2 * sum(lengths)  # for the gradients of x and of the weight


def test_the_layer_takes_a_sequence() -> None:
    layer = psd.PerStepDense(T, I, O, activation="relu")
    x, lengths = torch.randn(3, T, I), (4, 5, 2)
    expected = sample_by_sample(x, layer.weight, layer.bias, lengths, "relu")
    torch.testing.assert_close(unpacked(layer(packed(x, lengths)), T), expected)


@each_layer
def test_rows_of_any_strides(layer) -> None:
    lengths = (2, 5, 4)
    x, weight, bias = arguments(lengths, torch.float64)
    sequence = packed(x, lengths)
    columns = PackedSequence(sequence.data.mT.contiguous().mT, *sequence[1:])
    result = layer(columns, weight.mT.contiguous().mT, bias)
    torch.testing.assert_close(unpacked(result, T), sample_by_sample(x, weight, bias, lengths))


# What is wrong, and how that is said.


def refusal(error: type[Exception], layer, sequence: PackedSequence, *args, **options) -> str:
    with pytest.raises(error) as refused:
        layer(sequence, *args, **options)
    assert type(refused.value) is error
    return str(refused.value)


@each_layer
def test_more_steps_than_the_weight_has_are_refused(layer) -> None:
    x, weight, bias = arguments((5, 2), torch.float32)
    text = refusal(ValueError, layer, packed(x, (5, 2)), weight[:4], bias[:4])
    assert text == "per_step_dense: x must have at most T = 4 steps, as weight has; got 5"


@each_layer
def test_rows_of_other_sizes_are_refused(layer) -> None:
    x, weight, bias = arguments((5, 2), torch.float32)
    text = refusal(ValueError, layer, packed(x[..., :6], (5, 2)), weight, bias)
    assert text.endswith("weight must be (T, I, O) with I = x.size(-1) = 6; got (5, 7, 9)")
    text = refusal(ValueError, layer, packed(x[..., None], (5, 2)), weight, bias)
    assert text == "per_step_dense: x.data must be (R, I), 2-D; got (7, 7, 1)"
    text = refusal(TypeError, layer, packed(x.half(), (5, 2)), weight, bias)
    assert text == "per_step_dense: weight must have the dtype of x, float16; got float32"


@each_layer
def test_a_sequence_whose_sizes_are_wrong_is_refused(layer) -> None:
    _, weight, bias = arguments((5, 2), torch.float32)
    rows = torch.randn(7, I)
    text = refusal(ValueError, layer, PackedSequence(rows, torch.tensor([4, 4])), weight, bias)
    assert text.endswith(
        "batch_sizes must add up to the 7 rows of the packed sequence; got a sum of 8"
    )
    wraps_around = torch.tensor([2**62 + 4, 2**62 + 3, 2**62, 2**62])  # to 7
    text = refusal(ValueError, layer, PackedSequence(rows, wraps_around), weight, bias)
    assert text.endswith(f"rows of the packed sequence; got a sum of {2**63 - 1}")
    text = refusal(ValueError, layer, PackedSequence(rows, torch.tensor([9, -2])), weight, bias)
    assert text == "per_step_dense: batch_sizes must not be negative; got -2 at step 1"
    text = refusal(TypeError, layer, PackedSequence(rows, torch.tensor([4.0, 3.0])), weight, bias)
    assert text == "per_step_dense: batch_sizes must be int64; got float32"


@each_layer
def test_wrong_parameters_are_refused_as_ever(layer) -> None:
    x, weight, bias = arguments((5, 2), torch.float32)
    sequence = packed(x, (5, 2))
    for wrong in (weight[0, 0, 0], weight[0], weight[None]):
        text = refusal(ValueError, layer, sequence, wrong, bias)
        shape = tuple(wrong.shape)
        assert text == f"per_step_dense: weight must be (T, I, O), 3-D; got {shape}"
    text = refusal(ValueError, layer, sequence, weight, bias[:4])
    assert text == "per_step_dense: bias must be (T, O) = (5, 9); got (4, 9)"


@each_layer
def test_lengths_beside_it_are_refused(layer) -> None:
    x, weight, bias = arguments((5, 2), torch.float32)
    text = refusal(ValueError, layer, packed(x, (5, 2)), weight, bias, lengths=torch.tensor([5, 2]))
    assert text == (
        "per_step_dense: lengths must be None with a PackedSequence, which has batch_sizes; "
        "got Tensor"
    )


def test_a_grid_of_steps_refuses_a_sequence() -> None:
    sequence = packed(torch.randn(2, T, I), (5, 2))
    text = refusal(TypeError, psd.PerStepDense((1, T), I, O), sequence)
    assert text == (
        "per_step_dense: input must be a torch.Tensor where steps is a tuple, (1, 5); "
        "got PackedSequence"
    )


def test_the_layer_says_which_features_it_wants() -> None:
    text = refusal(ValueError, psd.PerStepDense(T, I, O), packed(torch.randn(2, T, 3), (5, 2)))
    assert text == "per_step_dense: input.data must be (*, 7) = (*, in_features); got (7, 3)"
