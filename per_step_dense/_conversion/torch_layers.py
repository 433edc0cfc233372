"""Layers of torch.nn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from . import Parameters


def from_linears(linears: Iterable[nn.Linear]) -> Parameters:
    """One step each; raises unless all are initialised and alike."""
    linears = checked_linears(linears)
    first = linears[0]
    bias: nn.Parameter | None = first.bias
    with torch.no_grad():
        return Parameters(
            weight=torch.stack([linear.weight.t() for linear in linears]),  # (T, I, O)
            bias=None if bias is None else torch.stack([linear.bias for linear in linears]),
            is_weight_trained=first.weight.requires_grad,
            is_bias_trained=bias is not None and bias.requires_grad,
        )


def from_grouped_conv1d(conv: nn.Conv1d) -> Parameters:
    """A step a group; raises unless it is initialised and each output sees one position."""
    if not isinstance(conv, nn.Conv1d) or is_lazy(conv.weight):
        raise TypeError(
            f"per_step_dense: conv must be an initialised nn.Conv1d; got {type(conv).__name__}"
        )
    for difference in differences_from_dense(conv):
        raise ValueError(f"per_step_dense: conv must have {difference}")
    steps = conv.groups
    bias: Tensor | None = conv.bias
    return Parameters(
        weight=conv.weight.detach().reshape(steps, -1, conv.weight.size(1)).mT,  # (T, I, O)
        bias=None if bias is None else bias.detach().reshape(steps, -1),  # (T, O)
        is_weight_trained=conv.weight.requires_grad,
        is_bias_trained=bias is not None and bias.requires_grad,
    )


def differences_from_dense(conv: nn.Conv1d) -> Iterator[str]:
    """What keeps its groups from being dense layers, in an error's words; nothing if they are."""
    for name, expected in (("kernel_size", (1,)), ("stride", (1,)), ("padding", (0,))):
        got = getattr(conv, name)
        if got != expected and not (name == "padding" and got in ("valid", "same")):
            yield (
                f"{name} = {expected[0]}, for a dense layer per step sees one position; "
                f"got {got[0] if isinstance(got, tuple) else got}"
            )


def checked_linears(
    linears: Iterable[nn.Linear], name: str = "linears", *, trained_alike: bool = True
) -> list[nn.Linear]:
    """The modules as a list; raises unless all are initialised ``nn.Linear``s that are alike.

    Args:
        linears: the modules.
        name: what errors call them.
        trained_alike: whether ``requires_grad`` has to be the same in all of them.
    """
    if not isinstance(linears, Iterable):
        raise TypeError(
            f"per_step_dense: {name} must be an iterable of nn.Linear; got {type(linears).__name__}"
        )
    linears = list(linears)
    if not linears:
        raise ValueError(f"per_step_dense: {name} must hold at least one nn.Linear; got none")
    for i, linear in enumerate(linears):
        if not isinstance(linear, nn.Linear) or is_lazy(linear.weight):
            raise TypeError(
                f"per_step_dense: {name}[{i}] must be an initialised nn.Linear; "
                f"got {type(linear).__name__}"
            )
        expected, got = _traits(linears[0]), _traits(linear)
        for trait in expected:
            if trait.endswith("requires_grad") and not trained_alike:
                continue
            if got[trait] != expected[trait]:
                error = TypeError if trait == "dtype" else ValueError
                raise error(
                    f"per_step_dense: {name}[{i}] must have {trait} = {expected[trait]} as "
                    f"{name}[0] has; got {trait} = {got[trait]}"
                )
    return linears


def _traits(linear: nn.Linear) -> dict[str, object]:
    """What the modules must have in common to become one layer, by the name that errors use."""
    bias: nn.Parameter | None = linear.bias
    return {
        "in_features": linear.weight.size(1),
        "out_features": linear.weight.size(0),
        "bias": bias is not None,
        "dtype": linear.weight.dtype,
        "device": linear.weight.device,
        "weight.requires_grad": linear.weight.requires_grad,
        "bias.requires_grad": None if bias is None else bias.requires_grad,
    }
