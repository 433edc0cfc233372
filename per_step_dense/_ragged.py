"""Batches whose samples differ in length: packed sequences, and padded samples with lengths."""

from __future__ import annotations

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from . import _ops, reference
from ._checks import (
    check_activation,
    check_are_dense_tensors,
    check_is_no_dtensor,
    check_is_packed,
    check_lengths_fit,
)
from ._types import Activation


def of_packed(
    x: PackedSequence,
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation | None,
    kernel: str,
) -> PackedSequence:
    """What ``per_step_dense`` gives for a packed sequence."""
    if _ops.ragged_forward is None:
        return reference.per_step_dense(x, weight, bias, activation=activation)
    check_is_packed(x.data)
    y = _of_rows(x.data, weight, bias, x.batch_sizes, activation, kernel)
    return PackedSequence(y, x.batch_sizes, x.sorted_indices, x.unsorted_indices)


def of_padded(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lengths: Tensor,
    activation: Activation | None,
    kernel: str,
) -> Tensor:
    """What ``per_step_dense`` gives for padded samples."""
    if _ops.ragged_forward is None:
        return reference.per_step_dense(x, weight, bias, activation=activation, lengths=lengths)
    check_are_dense_tensors(x, weight, bias)
    check_lengths_fit(lengths, x)
    batch = x.flatten(0, -3) if x.dim() > 2 else x.unsqueeze(0)  # (B, T, I)
    y = _of_rows(batch, weight, bias, lengths.flatten(), activation, kernel)
    return y.reshape(*x.shape[:-1], y.size(-1))


def _of_rows(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Tensor,
    activation: Activation | None,
    kernel: str,
) -> Tensor:
    assert _ops.ragged_forward is not None
    try:
        return _ops.ragged_forward(rows, weight, bias, sizes, _ops.ACTIVATIONS[activation], kernel)
    except Exception as error:
        refusal = error
    # As in functional.py: what is not the op's own refusal is said in this package's words.
    check_activation(activation)
    check_are_dense_tensors(rows, weight, bias)
    for name, tensor in (("x", rows), ("weight", weight), ("bias", bias)):
        check_is_no_dtensor(name, tensor)
    raise refusal
