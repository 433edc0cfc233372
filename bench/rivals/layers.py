"""Layers of torch.nn, put together to a layer per step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..workload import Inputs, Workload
from .base import Function, Gradients, TorchRival, activated


class LoopOfLinear(TorchRival):
    """torch.stack([layer(x_t) for layer, x_t in zip(layers, x.unbind(1))], dim=1)."""

    name = "loop of nn.Linear"

    def function(self, workload: Workload) -> Function:
        return activated(_loop, workload.activation)

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        layers = nn.ModuleList()
        for t, weight in enumerate(inputs.weight):
            in_features, out_features = weight.shape
            has_bias = inputs.bias is not None
            layer = nn.Linear(in_features, out_features, has_bias, device="meta")
            layer.weight = nn.Parameter(weight.t().contiguous())
            if inputs.bias is not None:
                layer.bias = nn.Parameter(inputs.bias[t].clone())
            layers.append(layer)
        return inputs.x.detach(), layers

    def leaves(self, arguments: tuple[object, ...]) -> tuple[Tensor, ...]:
        x, layers = arguments
        assert isinstance(x, Tensor) and isinstance(layers, nn.ModuleList)
        weights = [parameter for parameter in layers.parameters() if parameter.dim() == 2]
        biases = [parameter for parameter in layers.parameters() if parameter.dim() == 1]
        return (x, *weights, *biases)

    def restore(self, gradients: Sequence[Tensor]) -> Gradients:
        dx, *parameters = gradients
        weights = [gradient.t() for gradient in parameters if gradient.dim() == 2]
        biases = [gradient for gradient in parameters if gradient.dim() == 1]
        return dx, torch.stack(weights), torch.stack(biases) if biases else None


class GroupedConv(TorchRival):
    """nn.Conv1d(T * I, T * O, 1, groups=T) on x.view(B, T * I, 1)."""

    name = "grouped Conv1d"

    def function(self, workload: Workload) -> Function:
        return activated(_grouped_conv, workload.activation)

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        steps, in_features, out_features = inputs.weight.shape
        conv = nn.Conv1d(
            steps * in_features,
            steps * out_features,
            1,
            groups=steps,
            bias=inputs.bias is not None,
            device="meta",
        )
        conv.weight = nn.Parameter(inputs.weight.transpose(1, 2).reshape(-1, in_features, 1))
        if inputs.bias is not None:
            conv.bias = nn.Parameter(inputs.bias.flatten())
        return inputs.x.detach(), conv

    def leaves(self, arguments: tuple[object, ...]) -> tuple[Tensor, ...]:
        x, conv = arguments
        assert isinstance(x, Tensor) and isinstance(conv, nn.Conv1d)
        return (x, conv.weight) if conv.bias is None else (x, conv.weight, conv.bias)

    def restore(self, gradients: Sequence[Tensor]) -> Gradients:
        dx, dweight, *dbias = gradients
        steps, in_features = dx.shape[1:]
        dweight = dweight.view(steps, -1, in_features).transpose(1, 2)
        return dx, dweight, dbias[0].view(steps, -1) if dbias else None


def _loop(x: Tensor, layers: nn.ModuleList) -> Tensor:
    # With x[:, t] each step's gradient would be as large as x: unbind is the loop at its best.
    return torch.stack([layer(x_t) for layer, x_t in zip(layers, x.unbind(1), strict=True)], dim=1)


def _grouped_conv(x: Tensor, conv: nn.Conv1d) -> Tensor:
    y: Tensor = conv(x.reshape(x.size(0), -1, 1))
    return y.view(x.size(0), x.size(1), -1)
