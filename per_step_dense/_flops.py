"""What ``torch.utils.flop_counter.FlopCounterMode`` counts for the ops."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

Shape = tuple[int, ...]


def register() -> None:
    """Of the ops, which exist once the compiled module is loaded."""
    ops = torch.ops.per_step_dense
    register_flop_formula([ops.forward, ops.forward_with_preactivation])(forward_flops)
    register_flop_formula([ops.backward, ops.backward_accumulate])(backward_flops)


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


def product_flops(rows: Shape, weight: Shape) -> int:
    """Of a batched product of rows (batch, T, F): a multiplication and an addition for each term.

    Args:
        rows: the sizes of x, dz or dx.
        weight: (T, I, O).
    """
    steps, in_features, out_features = weight
    return 2 * prod(rows[:-2]) * steps * in_features * out_features
