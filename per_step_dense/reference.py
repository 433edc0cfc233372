"""The operation in plain torch, on any device: what the kernels are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, overload

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from ._checks import (
    check_activation,
    check_are_alike,
    check_are_dense_tensors,
    check_batch_sizes,
    check_fits_packed,
    check_has_no_lengths,
    check_is_packed,
    check_lengths,
    check_shapes,
)
from ._types import Activation

_ACTIVATION_FUNCTIONS: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


@overload
def per_step_dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
    lengths: Tensor | None = None,
) -> Tensor: ...
@overload
def per_step_dense(
    x: PackedSequence,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
) -> PackedSequence: ...
def per_step_dense(
    x: Tensor | PackedSequence,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
    lengths: Tensor | None = None,
) -> Tensor | PackedSequence:
    """The same contract as :func:`per_step_dense.per_step_dense`, computed by ``torch.einsum``.

    Args and Shape: as there.

    Returns:
        ``activation(einsum("...ti,tio->...to", x, weight) + bias)``, contiguous.

    Raises:
        ValueError, TypeError: as there.
    """
    check_activation(activation)
    rows = x.data if isinstance(x, PackedSequence) else x
    check_are_dense_tensors(rows, weight, bias)
    if is_autocast_on(rows.device.type):
        rows, weight = autocast(rows), autocast(weight)
        bias = None if bias is None else autocast(bias)
    check_are_alike(rows, weight, bias)
    if isinstance(x, PackedSequence):
        check_has_no_lengths(lengths)
        check_is_packed(rows)
        z = _preactivation_of_packed(rows, weight, bias, x.batch_sizes)
        y = z if activation is None else activate(z, activation)
        return PackedSequence(y, x.batch_sizes, x.sorted_indices, x.unsorted_indices)

    check_shapes(rows, weight, bias)
    if lengths is None:
        z = _preactivation(rows, weight, bias)
        return z if activation is None else activate(z, activation)
    check_lengths(lengths, rows)
    steps = torch.arange(rows.size(-2))
    mask = (steps < lengths.unsqueeze(-1)).unsqueeze(-1).to(rows.device)  # (*, T, 1)
    z = torch.where(mask, _preactivation(torch.where(mask, rows, 0), weight, bias), 0)
    # Masked before the activation as well: its derivative of what weights that are not finite make
    # of padding would be NaN, and no factor of zero would mend that.
    return z if activation is None else torch.where(mask, activate(z, activation), 0)


def _preactivation(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    z = torch.einsum("...ti,tio->...to", x, weight)
    if bias is not None:
        z = z + bias
    return z.contiguous()  # before the activation: torch rounds its derivatives otherwise elsewhere


def _preactivation_of_packed(
    rows: Tensor, weight: Tensor, bias: Tensor | None, batch_sizes: Tensor
) -> Tensor:
    check_fits_packed(rows, weight, bias)
    check_batch_sizes(batch_sizes, rows, len(weight))
    steps = rows.split(batch_sizes.tolist())
    z = [own @ weight[t] for t, own in enumerate(steps)]
    if bias is not None:
        z = [own + bias[t] for t, own in enumerate(z)]
    return torch.cat(z) if z else rows.new_zeros(0, weight.size(2))


def activate(z: Tensor, activation: Activation) -> Tensor:
    """The activation by itself, of any shape."""
    return _ACTIVATION_FUNCTIONS[activation](z)


def is_autocast_on(device_type: str) -> bool:
    """Whether autocast is on for that type of device."""
    # Meta has no autocast, and asking for it raises. is_autocast_available would be the question,
    # but torch.compile cannot trace it.
    return device_type != "meta" and torch.is_autocast_enabled(device_type)


def autocast(tensor: Tensor) -> Tensor:
    """Casts as autocast does for torch.nn.functional.linear: all but float64."""
    if tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(tensor.device.type))
