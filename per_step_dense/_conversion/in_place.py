"""Modules that become ones of this package where they stand, by a class of their own class's.

Parameters, hooks and whatever else a module holds stay what and where they are; only its forward is
another. Calls that it does not cover are the original forward's.
"""

from __future__ import annotations

import copyreg
from typing import Any, ClassVar, Final, SupportsIndex

import torch
from torch import Tensor, nn

from .._checks import SUPPORTED_DTYPES
from ..functional import per_step_dense
from .trial import Reading

_NEW: Final = copyreg.__newobj__  # type: ignore[attr-defined]
_classes: dict[tuple[type, type, Reading | None], type[InPlace]] = {}


class InPlace(nn.Module):
    """What a converted module's class is besides its own, whose names it must not take."""

    _psd_original: ClassVar[type[nn.Module]]
    _psd_reading: ClassVar[Reading | None]

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """By this package where it covers the call, else as ever."""
        if len(args) == 1 and not keywords:
            y = self._psd_forward(args[0])
            if y is not None:
                return y
        return super().forward(*args, **keywords)

    def _psd_forward(self, x: Tensor) -> Tensor | None:
        """The result, or None where the original forward has to give it."""
        raise NotImplementedError

    def _psd_sizes(self) -> tuple[tuple[int, ...], int, int]:
        """The steps, in_features and out_features."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        text = super().extra_repr()
        if text:
            return text
        steps, in_features, out_features = self._psd_sizes()
        return (
            f"steps={steps[0] if len(steps) == 1 else steps}, in_features={in_features}, "
            f"out_features={out_features}"
        )

    def _get_name(self) -> str:
        return f"{type(self).__name__}[per_step_dense]"

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # By the class it came from: pickle would look this one up by name. Those before 2 cannot
        # tell the class from the state.
        reduced = super().__reduce_ex__(max(2, protocol.__index__()))
        if "_psd_original" not in vars(type(self)) or reduced[0] is not _NEW:
            return reduced  # of a class made of this one, by torch's parametrize for one
        return (
            _rebuild,
            (type(self).__bases__[0], self._psd_original, self._psd_reading),
            *reduced[2:],
        )


class WithMatrices(InPlace):
    """Holds a weight of (*steps, I, O) and a bias of (*steps, O), (E, 1, O) or none."""

    _psd_reading: ClassVar[Reading]
    weight: nn.Parameter

    def _psd_forward(self, x: Tensor) -> Tensor | None:
        reading, weight = self._psd_reading, self.weight
        bias: Tensor | None = getattr(self, "bias", None)
        if x.dim() not in reading.dims or not _has_dtypes(weight, bias):
            return None
        for name, value in reading.watched:
            if getattr(self, name, None) != value:
                return None
        if bias is not None and bias.dim() == weight.dim():
            bias = bias.squeeze(-2)  # (E, 1, O)
        if not reading.members_first:
            y = _of_steps(x, weight, bias)
        else:
            y = None if _is_left_to_matmul(x) else _of_members(x, weight, bias)
        if y is not None and reading.promotes and bias is not None and y.dtype != bias.dtype:
            return y.to(torch.promote_types(y.dtype, bias.dtype))  # under autocast
        return y

    def _psd_sizes(self) -> tuple[tuple[int, ...], int, int]:
        *steps, in_features, out_features = self.weight.shape
        return tuple(steps), in_features, out_features


class GroupedConv1d(InPlace):
    """A convolution of kernel 1, whose groups are the steps."""

    weight: Tensor
    bias: Tensor | None
    groups: int

    def _psd_forward(self, x: Tensor) -> Tensor | None:
        (steps,), in_features, out_features = self._psd_sizes()
        # Over many positions the convolution is the faster one (docs/design.md).
        if x.dim() not in (2, 3) or x.shape[-2:] != (steps * in_features, 1):
            return None
        weight, bias = self.weight, self.bias
        if not _has_dtypes(weight, bias):
            return None
        y = per_step_dense(
            x.reshape(*x.shape[:-2], steps, in_features),
            weight.reshape(steps, out_features, in_features).mT,
            None if bias is None else bias.reshape(steps, out_features),
        )
        return y.reshape(*x.shape[:-2], steps * out_features, 1)

    def _psd_sizes(self) -> tuple[tuple[int, ...], int, int]:
        out_features, in_features = self.weight.shape[:2]
        return (self.groups,), in_features, out_features // self.groups


class Linears(InPlace):
    """A ModuleList of one nn.Linear a step, which can be called: (*, T, I) to (*, T, O)."""

    _modules: dict[str, nn.Linear]  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """All at once where nobody would miss the calls of the modules, else one by one."""
        y = self._psd_forward(x)
        if y is not None:
            return y
        steps = len(self._modules)
        if x.dim() < 2 or x.size(-2) != steps:
            raise ValueError(
                f"per_step_dense: x must be (*, T, I) with T = {steps}, the number of modules; "
                f"got {tuple(x.shape)}"
            )
        outputs = [linear(x[..., t, :]) for t, linear in enumerate(self._modules.values())]
        return torch.stack(outputs, -2)

    def _psd_forward(self, x: Tensor) -> Tensor | None:
        linears = list(self._modules.values())
        if not all(why_not_a_plain_linear(linear) is None for linear in linears):
            return None
        weights: list[Tensor] = [linear.weight for linear in linears]
        biases: list[Tensor] = [linear.bias for linear in linears if linear.bias is not None]
        if len({tensor.dtype for tensor in (*weights, *biases)}) != 1:
            return None
        if len(biases) not in (0, len(linears)) or weights[0].dtype not in SUPPORTED_DTYPES:
            return None
        weight = torch.stack(weights).mT  # (T, I, O)
        return per_step_dense(x, weight, torch.stack(biases) if biases else None)

    def _psd_sizes(self) -> tuple[tuple[int, ...], int, int]:
        first = next(iter(self._modules.values()))
        return (len(self._modules),), first.in_features, first.out_features


def why_not_a_plain_linear(module: nn.Module) -> str | None:
    """What besides its weight and bias decides what its call does, if anything does."""
    if type(module).forward is not nn.Linear.forward or "forward" in vars(module):
        return "a forward of its own"
    if has_hooks(module):
        return "hooks of its own"
    return None


def has_hooks(module: nn.Module) -> bool:
    """Whether its call runs any."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def class_for(
    kind: type[InPlace], original: type[nn.Module], reading: Reading | None = None
) -> type[InPlace]:
    """What a module of the original class becomes one of; the same for the same arguments."""
    key = (kind, original, reading)
    if key not in _classes:
        names = {name: getattr(original, name) for name in ("__module__", "__qualname__")}
        names |= {"__doc__": original.__doc__, "_psd_original": original, "_psd_reading": reading}
        _classes[key] = type(original.__name__, (kind, original), names)
    return _classes[key]


def _rebuild(kind: type[InPlace], original: type[nn.Module], reading: Reading | None) -> nn.Module:
    converted = class_for(kind, original, reading)
    return converted.__new__(converted)


def _of_steps(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """``x`` is (*, *steps, I)."""
    if x.shape[1 - weight.dim() :] != weight.shape[:-1]:
        return None
    if weight.dim() == 3:
        return per_step_dense(x, weight, bias)
    y = per_step_dense(
        x.flatten(1 - weight.dim(), -2),
        weight.flatten(0, -3),
        None if bias is None else bias.flatten(0, -2),
    )
    return y.reshape(*x.shape[:-1], weight.size(-1))


def _of_members(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """``x`` is (E, B, I), or (B, I) for all of them."""
    members = weight.size(0)
    if x.dim() == 2:
        x = x.unsqueeze(0).expand(members, -1, -1)
    if x.size(0) != members or x.size(-1) != weight.size(1):
        return None
    return per_step_dense(x.transpose(0, 1), weight, bias).transpose(0, 1)


def _is_left_to_matmul(x: Tensor) -> bool:
    """On the CPU a batch of matrices, one a member, is what matmul does better (docs/design.md)."""
    return x.device.type == "cpu"


def _has_dtypes(weight: Tensor, bias: Tensor | None) -> bool:
    return weight.dtype in SUPPORTED_DTYPES and (bias is None or bias.dtype == weight.dtype)
