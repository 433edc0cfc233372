"""The layers that take the same place in a model: (B, T, I) -> (B, T, O)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

import per_step_dense as psd
from per_step_dense._types import Activation

from ..rivals.base import ACTIVATIONS


class Layer(nn.Module, ABC):
    """A layer a step, whatever its parameters look like."""

    @abstractmethod
    def load(self, weight: Tensor, bias: Tensor) -> None:
        """Takes over weight (T, I, O) and bias (T, O)."""

    @abstractmethod
    def gradients(self) -> tuple[Tensor, Tensor]:
        """Of weight and bias, in those layouts, after a backward."""


class PerStepDense(Layer):
    """The package's own."""

    def __init__(
        self, steps: int, inputs: int, outputs: int, activation: Activation | None
    ) -> None:
        super().__init__()
        self.layer = psd.PerStepDense(steps, inputs, outputs, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y

    def load(self, weight: Tensor, bias: Tensor) -> None:
        self.layer.load_state_dict({"weight": weight, "bias": bias})

    def gradients(self) -> tuple[Tensor, Tensor]:
        return _gradient(self.layer.weight), _gradient(self.layer.bias)


class Loop(Layer):
    """What LTSF-Linear's individual models do: an nn.Linear a step, one after another."""

    def __init__(
        self, steps: int, inputs: int, outputs: int, activation: Activation | None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(steps))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y = torch.stack([layer(x[:, t]) for t, layer in enumerate(self.layers)], dim=1)
        return _activate(y, self.activation)

    def load(self, weight: Tensor, bias: Tensor) -> None:
        for layer, w, b in zip(self.layers, weight, bias, strict=True):
            layer.load_state_dict({"weight": w.t(), "bias": b})

    def gradients(self) -> tuple[Tensor, Tensor]:
        weights = [_gradient(layer.weight).t() for layer in self.layers]
        return torch.stack(weights), torch.stack([_gradient(layer.bias) for layer in self.layers])


class NLinear(Layer):
    """What rtdl_num_embeddings and delu do: a matmul on transposed views, then the bias."""

    def __init__(
        self, steps: int, inputs: int, outputs: int, activation: Activation | None
    ) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(steps, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(steps, outputs).uniform_(-bound, bound))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return _activate(self.preactivation(x), self.activation)

    def preactivation(self, x: Tensor) -> Tensor:
        """The product and the bias."""
        return (x.transpose(0, 1) @ self.weight).transpose(0, 1) + self.bias

    def load(self, weight: Tensor, bias: Tensor) -> None:
        self.load_state_dict({"weight": weight, "bias": bias})

    def gradients(self) -> tuple[Tensor, Tensor]:
        return _gradient(self.weight), _gradient(self.bias)


class EnsembleLinear(NLinear):
    """What mbrl-lib does but for its members-first inputs: one baddbmm."""

    def preactivation(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias.unsqueeze(1), x.transpose(0, 1), self.weight).transpose(0, 1)


class Einsum(NLinear):
    """What is written first."""

    def preactivation(self, x: Tensor) -> Tensor:
        return torch.einsum("bti,tio->bto", x, self.weight) + self.bias


def _activate(z: Tensor, activation: Activation | None) -> Tensor:
    return z if activation is None else ACTIVATIONS[activation](z)


def _gradient(parameter: object) -> Tensor:
    assert isinstance(parameter, Tensor) and parameter.grad is not None  # there was a backward
    return parameter.grad


LAYERS: Final[Mapping[str, type[Layer]]] = {
    "per_step_dense": PerStepDense,
    "loop of nn.Linear": Loop,
    "matmul": NLinear,
    "baddbmm": EnsembleLinear,
    "einsum": Einsum,
}
"""By the names of the tables, this package's first."""
