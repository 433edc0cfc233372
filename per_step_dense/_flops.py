"""What ``torch.utils.flop_counter.FlopCounterMode`` counts for the ops."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

Shape = tuple[int, ...]


def register() -> None:
    """Of the ops, which exist once the compiled module is loaded."""
    ops = torch.ops.per_step_dense
    register_flop_formula([ops.forward, ops.forward_with_preactivation])(forward_flops)
    register_flop_formula([ops.backward, ops.backward_accumulate])(backward_flops)
    ragged = [ops.ragged_forward, ops.ragged_forward_with_preactivation]
    register_flop_formula(ragged, get_raw=True)(ragged_forward_flops)
    register_flop_formula([ops.ragged_backward], get_raw=True)(ragged_backward_flops)


def forward_flops(x: Shape, weight: Shape, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """As ``torch.bmm`` is counted: neither bias nor activation is."""
    return product_flops(x, weight)


def backward_flops(
    dz: Shape,
    x: Shape | None,
    weight: Shape | None,
    *args: Any,
    out_shape: Any = None,
    **kwargs: Any,
) -> int:
    """A product for each of dx and dweight that is wanted."""
    if weight is not None:
        return product_flops(dz, weight) * (2 if x is not None else 1)
    return 0 if x is None else product_flops(dz, (dz[-2], x[-1], dz[-1]))


def ragged_forward_flops(
    x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Tensor, *args: Any, **kwargs: Any
) -> int:
    """Of the rows that the samples have."""
    return 2 * rows_of(x, sizes) * prod(weight.shape[1:])


def ragged_backward_flops(
    dz: Tensor, x: Tensor | None, weight: Tensor | None, sizes: Tensor, *args: Any, **kwargs: Any
) -> int:
    """Likewise, for each of dx and dweight that is wanted."""
    in_features = [] if weight is None else [weight.size(1)]
    in_features += [] if x is None else [x.size(-1)]
    return 2 * rows_of(dz, sizes) * dz.size(-1) * sum(in_features)


def rows_of(tensor: Tensor, sizes: Tensor) -> int:
    """How many rows a packed tensor has, or the samples of a padded one."""
    return len(tensor) if tensor.dim() == 2 else int(sizes.sum())


def product_flops(rows: Shape, weight: Shape) -> int:
    """Of a batched product of rows (batch, T, F): a multiplication and an addition for each term.

    Args:
        rows: the sizes of x, dz or dx.
        weight: (T, I, O).
    """
    steps, in_features, out_features = weight
    return 2 * prod(rows[:-2]) * steps * in_features * out_features
