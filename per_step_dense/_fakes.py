"""Shapes of the ragged ops' results, without data.

In Python, for the sizes of a batch are on the CPU wherever x is, and torch refuses tensors of two
devices to an op whose shapes are known in C++ alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import register_fake


def register() -> None:
    """Of the ops, which exist once the compiled module is loaded."""
    register_fake("per_step_dense::ragged_forward")(ragged_forward)
    register_fake("per_step_dense::ragged_forward_with_preactivation")(
        ragged_forward_with_preactivation
    )
    register_fake("per_step_dense::ragged_backward")(ragged_backward)


def ragged_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Tensor,
    activation: str = "none",
    family: str = "auto",
) -> Tensor:
    """(*, O) of x, (*, I)."""
    from . import _C

    _C.check_ragged_forward(x, weight, bias, sizes, activation, family)
    return x.new_empty((*x.shape[:-1], weight.size(2)))


def ragged_forward_with_preactivation(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    sizes: Tensor,
    activation: str,
    family: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Twice the same."""
    y = ragged_forward(x, weight, bias, sizes, activation, family)
    return y, torch.empty_like(y)


def ragged_backward(
    dz: Tensor,
    x: Tensor | None,
    weight: Tensor | None,
    sizes: Tensor,
    steps: int,
    wants_dbias: bool,
    family: str = "auto",
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """dx, dweight and dbias, where they are wanted."""
    from . import _C

    _C.check_ragged_backward(dz, x, weight, sizes, steps, family)
    out_features = dz.size(-1)
    dx = None if weight is None else dz.new_empty((*dz.shape[:-1], weight.size(1)))
    dweight = None if x is None else dz.new_empty((steps, x.size(-1), out_features))
    return dx, dweight, dz.new_empty((steps, out_features)) if wants_dbias else None
