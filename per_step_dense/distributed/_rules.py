"""The ops' sharding rules for DTensor, and the refusal of arguments that would be gathered.

A rule is of one dimension of the mesh; DTensor combines those of several. Of the forward, where R
is ``Replicate()``:

    sharded over    x (*, T, I)   weight (T, I, O)   bias (T, O)   y (*, T, O)
    nothing         R             R                  R             R
    the batch       Shard(b)      R                  R             Shard(b)
    steps           Shard(-2)     Shard(0)           Shard(0)      Shard(-2)
    out             R             Shard(2)           Shard(1)      Shard(-1)
    in              Shard(-1)     Shard(1)           Partial()     Partial()
    a sum's terms   Partial()     R                  Partial()     Partial()

None communicates. The last two have no activation, which would be one of partial sums; of a whole
bias DTensor gives each process its n-th part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard
from torch.distributed.tensor._op_schema import RuntimeSchemaInfo
from torch.distributed.tensor.experimental import register_sharding

WHOLE: Final = Replicate()
SUM: Final = Partial()

STEPS_OF_WEIGHT, IN_OF_WEIGHT, OUT_OF_WEIGHT = Shard(0), Shard(1), Shard(2)
STEPS_OF_BIAS, OUT_OF_BIAS = Shard(0), Shard(1)

Rule = tuple[list[Any], list[Any]]
"""What ``register_sharding`` takes: placements of the results, and of the arguments."""


class Forward(NamedTuple):
    """Placements that the forward can be computed in, without communication."""

    y: Placement
    x: Placement
    weight: Placement
    bias: Placement


class Backward(NamedTuple):
    """Placements that the gradients can be computed in, without communication."""

    dx: Placement
    dweight: Placement
    dbias: Placement
    dz: Placement
    x: Placement
    weight: Placement


def forward_rules(dims: int, *, has_activation: bool) -> list[Forward]:
    """Of an x of so many dimensions."""
    steps, features = Shard(dims - 2), Shard(dims - 1)
    rules = [Forward(WHOLE, WHOLE, WHOLE, WHOLE)]
    rules += [Forward(Shard(b), Shard(b), WHOLE, WHOLE) for b in range(dims - 2)]
    rules.append(Forward(steps, steps, STEPS_OF_WEIGHT, STEPS_OF_BIAS))
    rules.append(Forward(features, WHOLE, OUT_OF_WEIGHT, OUT_OF_BIAS))
    if not has_activation:
        rules.append(Forward(SUM, features, IN_OF_WEIGHT, SUM))
        rules.append(Forward(SUM, SUM, WHOLE, SUM))
    return rules


def backward_rules(dims: int) -> list[Backward]:
    """Of a dz of so many dimensions."""
    steps, features = Shard(dims - 2), Shard(dims - 1)
    rules = [Backward(WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE)]
    rules += [Backward(Shard(b), SUM, SUM, Shard(b), Shard(b), WHOLE) for b in range(dims - 2)]
    rules.append(
        Backward(steps, STEPS_OF_WEIGHT, STEPS_OF_BIAS, dz=steps, x=steps, weight=STEPS_OF_WEIGHT)
    )
    rules.append(
        Backward(SUM, OUT_OF_WEIGHT, OUT_OF_BIAS, dz=features, x=WHOLE, weight=OUT_OF_WEIGHT)
    )
    rules.append(Backward(features, IN_OF_WEIGHT, WHOLE, dz=WHOLE, x=features, weight=IN_OF_WEIGHT))
    rules.append(Backward(SUM, SUM, SUM, dz=SUM, x=WHOLE, weight=WHOLE))
    return rules


def check_is_not_moved(x: Any, weight: Any, bias: Any, *, has_activation: bool) -> None:
    """Raises ValueError where no rule takes the arguments as they are placed.

    What every process has whole may be cut; all else would be gathered, exchanged or reduced, and
    without a word.

    Args:
        x: (*, T, I), a DTensor or the spec of one.
        weight: likewise (T, I, O).
        bias: likewise (T, O), or None.
        has_activation: whether the op applies one.
    """
    mesh = weight.device_mesh if isinstance(weight, DTensor) else weight.mesh
    rules = forward_rules(len(x.shape), has_activation=has_activation)
    given = {"x": x, "weight": weight} | ({} if bias is None else {"bias": bias})
    for dim, parts in enumerate(mesh.shape):
        if any(
            all(_is_cut(tensor, dim, parts, getattr(rule, name)) for name, tensor in given.items())
            for rule in rules
        ):
            continue
        where = mesh.mesh_dim_names[dim] if mesh.mesh_dim_names else dim
        expected = _expected(rules, weight.placements[dim], has_activation)
        got = ", ".join(f"{name} {tensor.placements[dim]}" for name, tensor in given.items())
        raise ValueError(
            f"per_step_dense: {expected} on mesh dimension {where} of {parts} processes, for "
            f"nothing is gathered silently: redistribute it first; got {got}"
        )


def _is_cut(tensor: Any, dim: int, parts: int, wanted: Placement) -> bool:
    """Whether the tensor is placed as wanted on that dimension of the mesh, or can be cut so."""
    if isinstance(wanted, Shard) and tensor.shape[wanted.dim] < parts:
        return False  # DTensor leaves no process empty-handed
    placement: Placement = tensor.placements[dim]
    return placement == wanted or placement.is_replicate()


def _expected(rules: Sequence[Forward], weight: Placement, has_activation: bool) -> str:
    fitting = [rule for rule in rules if rule.weight == weight]
    if not fitting:
        activated = " under an activation, for sums would be in parts," * has_activation
        return f"weight must not be {weight}{activated}"
    of_x, of_bias = (
        " or ".join(dict.fromkeys([str(getattr(rule, name)) for rule in fitting] + [str(WHOLE)]))
        for name in ("x", "bias")
    )
    return f"with weight {weight} x must be {of_x} and bias {of_bias}"


def register() -> None:
    """Of the ops, which exist once the compiled module is loaded.

    ``backward_accumulate`` has no rule, and is refused by DTensor: what it adds to would have to be
    redistributed, and the sum be lost with the copy.
    """
    ops = torch.ops.per_step_dense
    for op, rules in (
        (ops.forward.default, _forward),
        (ops.forward_with_preactivation.default, _forward_with_preactivation),
        (ops.backward.default, _backward),
        (ops.activation_backward.default, _activation_backward),
    ):
        register_sharding(op)(rules)
        # register_sharding takes strings, bools and absent tensors for what no rule depends on, and
        # would answer a call with an activation by the remembered rule of one without.
        every_argument = RuntimeSchemaInfo(static_argnum=0)
        DTensor._op_dispatcher.sharding_propagator.op_to_schema_info[op] = every_argument


def _forward(
    x: Any, weight: Any, bias: Any = None, activation: str = "none", family: str = "auto"
) -> list[Rule]:
    has_activation = activation != "none"
    check_is_not_moved(x, weight, bias, has_activation=has_activation)
    return [
        ([rule.y], [rule.x, rule.weight, None if bias is None else rule.bias])
        for rule in forward_rules(x.ndim, has_activation=has_activation)
    ]


def _forward_with_preactivation(
    x: Any, weight: Any, bias: Any, activation: str, family: str = "auto"
) -> list[Rule]:
    return [(y + y, inputs) for y, inputs in _forward(x, weight, bias, activation)]


def _backward(dz: Any, x: Any, weight: Any, wants_dbias: bool, family: str = "auto") -> list[Rule]:
    return [
        (
            [
                None if weight is None else rule.dx,
                None if x is None else rule.dweight,
                rule.dbias if wants_dbias else None,
            ],
            [rule.dz, None if x is None else rule.x, None if weight is None else rule.weight],
        )
        for rule in backward_rules(dz.ndim)
    ]


def _activation_backward(dy: Any, saved: Any, activation: str, family: str = "auto") -> list[Rule]:
    rules: list[Rule] = [([SUM], [SUM, WHOLE])]  # linear in dy
    for placement in (WHOLE, *map(Shard, range(dy.ndim))):
        rules.append(([placement], [placement, placement]))
    return rules
