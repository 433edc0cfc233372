"""What the operation is, from its formula and nothing of this package: what tests compare with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda z: z,
    "relu": lambda z: z.clamp(min=0),
    "gelu": lambda z: z * (1 + torch.erf(z / math.sqrt(2))) / 2,
    "gelu_tanh": lambda z: z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2,
    "silu": lambda z: z / (1 + torch.exp(-z)),
    "tanh": lambda z: 2 / (1 + torch.exp(-2 * z)) - 1,
    "sigmoid": lambda z: 1 / (1 + torch.exp(-z)),
}


def per_step_dense(
    x: Tensor,  # (*, T, I)
    weight: Tensor,  # (T, I, O)
    bias: Tensor | None = None,  # (T, O)
    *,
    activation: str | None = None,
) -> Tensor:
    """Differentiable, in the dtype of the arguments."""
    z = (x.unsqueeze(-1) * weight).sum(-2)  # (*, T, I, O) -> (*, T, O)
    return ACTIVATIONS[activation](z if bias is None else z + bias)


def in_fp64(tensor: Tensor | None) -> Tensor | None:
    """The tensor's values in float64, without its history and with its requires_grad."""
    if tensor is None:
        return None
    return tensor.detach().double().requires_grad_(tensor.requires_grad)
