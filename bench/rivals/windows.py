"""Rivals on windows of steps, x (B, (T - 1) * s + k, I) and weight (T, k * I, O); ours first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

import per_step_dense as psd

from ..cases import Case
from ..workload import Inputs, Workload
from .base import Function, Gradients, Rival, TorchRival, activated
from .compiled import Compiled
from .guests import LocallyConnected1D
from .ours import OURS
from .products import Baddbmm, Einsum


class LocallyConnected(TorchRival):
    """per_step_dense.LocallyConnected1d, the layer."""

    name = OURS

    def function(self, workload: Workload) -> Function:
        return _call

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        case = workload.case
        layer = psd.LocallyConnected1d(
            case.in_steps,
            case.in_features,
            case.out_features,
            case.kernel_size,
            case.stride,
            bias=inputs.bias is not None,
            activation=workload.activation,
            device="meta",
            dtype=case.dtype,
        )
        layer.weight = nn.Parameter(inputs.weight.detach())
        if inputs.bias is not None:
            layer.bias = nn.Parameter(inputs.bias.detach())
        return inputs.x.detach(), layer

    def leaves(self, arguments: tuple[object, ...]) -> tuple[Tensor, ...]:
        x, layer = arguments
        assert isinstance(x, Tensor) and isinstance(layer, psd.LocallyConnected1d)
        return (x, layer.weight) if layer.bias is None else (x, layer.weight, layer.bias)

    def kernel(self, workload: Workload, inputs: Inputs) -> str | None:
        windows = _view(inputs.x, workload.case)
        plan = psd.explain(windows, inputs.weight, inputs.bias, activation=workload.activation)
        return plan.kernel if plan.tile is None else f"{plan.kernel} {plan.tile}"


UNFOLDED: Final = "unfold + einsum"


class UnfoldEinsum(TorchRival):
    """torch.einsum("btik,tiko->bto", x.unfold(1, k, s), weight (T, I, k, O)) + bias."""

    name = UNFOLDED

    def function(self, workload: Workload) -> Function:
        case = workload.case

        def unfold_einsum(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            windows = x.unfold(1, case.kernel_size, case.stride)  # (B, T, I, k)
            product = torch.einsum("btik,tiko->bto", windows, weight)
            return product if bias is None else product + bias

        return activated(unfold_einsum, workload.activation)

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        weight = inputs.weight.detach().unflatten(1, (-1, inputs.x.size(2)))  # (T, k, I, O)
        as_unfolded = weight.transpose(1, 2).contiguous()
        bias = () if inputs.bias is None else (inputs.bias.detach(),)
        return inputs.x.detach(), as_unfolded, *bias

    def restore(self, gradients: Sequence[Tensor]) -> Gradients:
        dx, dweight, *dbias = gradients
        return dx, dweight.transpose(1, 2).flatten(1, 2), dbias[0] if dbias else None


class OnView(TorchRival):
    """A rival of the layer on x.unfold(1, k, s).mT.flatten(2), which is a view."""

    def __init__(self, rival: TorchRival) -> None:
        self._rival = rival

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"view + {self._rival.name}"

    @property
    def summary(self) -> str:
        return f"{self._rival.summary}, with x.unfold(1, k, s).mT.flatten(2), a view, for x"

    def function(self, workload: Workload) -> Function:
        case, function = workload.case, self._rival.function(workload)
        return lambda x, *parameters: function(_view(x, case), *parameters)


WINDOW_RIVALS: Final[tuple[Rival, ...]] = (
    LocallyConnected(),
    UnfoldEinsum(),
    OnView(Einsum()),
    OnView(Baddbmm()),
    Compiled(UnfoldEinsum()),
    LocallyConnected1D(),
)


def _call(x: Tensor, layer: psd.LocallyConnected1d) -> Tensor:
    y: Tensor = layer(x)
    return y


def _view(x: Tensor, case: Case) -> Tensor:
    """What each step sees, (B, T, k * I), overlapping in memory."""
    return x.unfold(1, case.kernel_size, case.stride).mT.flatten(2)
