"""The function on DTensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard

from .. import _ops, reference
from .._checks import (
    check_activation,
    check_are_alike,
    check_are_dense_tensors,
    check_shapes,
)
from .._types import Activation
from . import _rules

if _ops.compiled is not None:
    _rules.register()


def per_step_dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    activation: Activation | None,
    kernel: str,
) -> Tensor:
    """:func:`per_step_dense.per_step_dense` where one of the arguments is a DTensor.

    Over sharded in_features every process has a part of each sum: where an activation follows, they
    are added up before it.
    """
    check_activation(activation)
    if activation is not None and _sums_are_in_parts(x, weight):
        z = per_step_dense(x, weight, bias, None, kernel)
        return reference.activate(_add_up(z), activation)
    try:
        if _ops.forward is not None:
            return _ops.forward(x, weight, bias, activation or "none", kernel)
    except Exception as error:
        refusal = error
    # The op refuses what its rules, or the ops of one device, do not take. DTensor wraps that up.
    check_are_dense_tensors(x, weight, bias)
    _check_are_on_one_mesh(x, weight, bias)
    check_shapes(x, weight, bias)
    _rules.check_is_not_moved(x, weight, bias, has_activation=activation is not None)
    if _ops.forward is None:
        return reference.per_step_dense(x, weight, bias, activation=activation)
    check_are_alike(x, weight, bias)
    raise refusal


def _sums_are_in_parts(x: Tensor, weight: Tensor) -> bool:
    """Whether each process has some of the features, so that its sums are parts."""
    return (isinstance(x, DTensor) and Shard(x.ndim - 1) in x.placements) or (
        isinstance(weight, DTensor) and _rules.IN_OF_WEIGHT in weight.placements
    )


class _AddUp(torch.autograd.Function):
    """Makes whole values of partial sums. Its gradient is the result's, as it is.

    ``DTensor.redistribute`` would do, were it twice differentiable before torch 2.13: until then
    second derivatives lack, without a word, what passes through it.
    """

    @staticmethod
    def forward(ctx: Any, z: DTensor) -> DTensor:
        placements = [Replicate() if p.is_partial() else p for p in z.placements]
        return z.redistribute(placements=placements)

    @staticmethod
    def backward(ctx: Any, dy: DTensor) -> DTensor:
        return dy


_add_up: Final[Callable[[Tensor], Tensor]] = _AddUp.apply


def _check_are_on_one_mesh(x: object, weight: object, bias: object | None) -> None:
    given = {"x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    sharded = {name: value for name, value in given.items() if isinstance(value, DTensor)}
    first = next(iter(sharded))
    mesh = sharded[first].device_mesh
    for name, value in given.items():
        if not isinstance(value, DTensor):
            raise ValueError(
                f"per_step_dense: {name} must be a DTensor, as {first} is "
                "(DTensor.from_local makes one, and so does a layer that parallelize was given); "
                "got a plain tensor"
            )
        if value.device_mesh != mesh:
            raise ValueError(
                f"per_step_dense: {name} must be on the mesh of {first}, {mesh}; "
                f"got {value.device_mesh}"
            )
