"""The operation in plain torch, on any device: what the kernels are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from ._checks import check_activation, check_are_alike, check_are_dense_tensors, check_shapes
from ._types import Activation

_ACTIVATION_FUNCTIONS: Final[dict[Activation, Callable[[Tensor], Tensor]]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def per_step_dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
) -> Tensor:
    """The same contract as :func:`per_step_dense.per_step_dense`, computed by ``torch.einsum``.

    Args and Shape: as there.

    Returns:
        ``activation(einsum("...ti,tio->...to", x, weight) + bias)``, contiguous.

    Raises:
        ValueError, TypeError: as there.
    """
    check_activation(activation)
    check_are_dense_tensors(x, weight, bias)
    if is_autocast_on(x.device.type):
        x, weight = autocast(x), autocast(weight)
        bias = None if bias is None else autocast(bias)
    check_are_alike(x, weight, bias)
    check_shapes(x, weight, bias)

    y = torch.einsum("...ti,tio->...to", x, weight)
    if bias is not None:
        y = y + bias
    y = y.contiguous()  # before the activation: torch rounds its derivatives otherwise elsewhere
    return y if activation is None else activate(y, activation)


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
