"""Which modules this package can stand in for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from torch import nn
from torch.nn.utils import parametrize

from .._checks import SUPPORTED_DTYPES
from .in_place import (
    GroupedConv1d,
    InPlace,
    Linears,
    WithMatrices,
    class_for,
    why_not_a_plain_linear,
)
from .torch_layers import checked_linears, differences_from_dense
from .trial import read

NAMES: Final = frozenset(
    {
        "NLinear",  # delu.nn, and others
        "_NLinear",  # rtdl_num_embeddings
        "LinearEnsemble",  # tabm
        "EnsembleLinearLayer",  # mbrl.models.util
        "EnsembleLinear",  # what most others call it who have copied it
    }
)
"""Of classes whose modules are tried. What they compute is read from the trial alone."""


def equivalent_of(module: nn.Module) -> type[InPlace] | str | None:
    """Its class to be; why there is none, if it looks as though there were; None of all others."""
    if isinstance(module, InPlace):
        return None
    is_parametrized = parametrize.is_parametrized(module)
    original = type(module).__bases__[0] if is_parametrized else type(module)
    if isinstance(module, nn.Conv1d):
        if module.groups == 1 or module.kernel_size != (1,):
            return None
        for difference in differences_from_dense(module):
            return f"it does not have {difference}"
        methods: tuple[str, ...] = ("forward", "_conv_forward")
        known: type = nn.Conv1d
    else:
        methods = ("forward",)
        known = next((each for each in original.__mro__ if each.__name__ in NAMES), nn.Module)
        if known is nn.Module:
            return None
    changed = any(getattr(original, name) is not getattr(known, name) for name in methods)
    if changed or "forward" in vars(module):
        return "it has a forward of its own"
    if is_parametrized:
        return "it is parametrized"
    names = tuple(name for name in ("weight", "bias") if module._parameters.get(name) is not None)
    for name in names:
        parameter = module.get_parameter(name)
        if type(parameter) is not nn.Parameter:
            return f"its {name} is a {type(parameter).__name__}"
        if parameter.dtype not in SUPPORTED_DTYPES:
            return f"its {name} is {str(parameter.dtype).removeprefix('torch.')}"
    if "weight" not in names:
        return "it has no parameter weight"
    if isinstance(module, nn.Conv1d):
        return class_for(GroupedConv1d, original)
    reason = next(_why_shapes_do_not_fit(module), None)
    if reason is not None:
        return reason
    reading = read(module, names)
    if isinstance(reading, str):
        return reading
    return class_for(WithMatrices, original, reading)


def equivalent_of_linears(linears: nn.Module, name: str) -> type[InPlace] | None:
    """Its class to be; None if it is converted; raises unless its modules are alike.

    Args:
        linears: what the user said is a ModuleList of equal nn.Linears.
        name: what errors call it.
    """
    if isinstance(linears, Linears):
        return None
    if not isinstance(linears, nn.ModuleList) or type(linears).forward is not nn.Module.forward:
        raise TypeError(
            f"per_step_dense: linears must name modules of type nn.ModuleList; {name!r} is a "
            f"{type(linears).__name__}"
        )
    modules: Iterable[Any] = linears
    for i, linear in enumerate(checked_linears(modules, name, trained_alike=False)):
        what = f"per_step_dense: {name}[{i}] must be "
        if parametrize.is_parametrized(linear):
            raise ValueError(f"{what}a plain nn.Linear; it is parametrized")
        reason = why_not_a_plain_linear(linear)
        if reason is not None:
            raise ValueError(f"{what}a plain nn.Linear, which is no longer called; it has {reason}")
        if linear.weight.dtype not in SUPPORTED_DTYPES:
            raise TypeError(
                f"{what}float32, float64, float16 or bfloat16; "
                f"got {str(linear.weight.dtype).removeprefix('torch.')}"
            )
    return class_for(Linears, type(linears))


def _why_shapes_do_not_fit(module: nn.Module) -> Iterator[str]:
    weight, bias = module.get_parameter("weight"), module._parameters.get("bias")
    if weight.dim() < 3:
        yield f"its weight is {tuple(weight.shape)}, not (*steps, I, O)"
    elif bias is not None:
        *steps, _, out_features = weight.shape
        if bias.shape not in ((*steps, out_features), (*steps, 1, out_features)):
            yield f"its bias is {tuple(bias.shape)}, not (*steps, O) or (*steps, 1, O)"
