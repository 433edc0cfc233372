"""Three models that consist of such layers, at sizes that people train them with."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from per_step_dense._types import Activation

from .layers import Layer

MakeLayer = Callable[[int, int, int, Activation | None], Layer]
"""Of steps, in_features, out_features and the activation."""


class Model(nn.Module, ABC):
    """Maps inputs of ``input_shape`` to outputs of ``target_shape``, both without the batch."""

    input_shape: tuple[int, ...]
    target_shape: tuple[int, ...]

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, *input_shape) -> (B, *target_shape)."""

    def layers(self) -> list[Layer]:
        """Those that differ from one contender to another."""
        return [module for module in self.modules() if isinstance(module, Layer)]


class IndividualLinear(Model):
    """LTSF-Linear with individual=True: the future of each channel is linear in its past.

    Zeng et al., "Are Transformers Effective for Time Series Forecasting?", AAAI 2023; electricity
    has 321 channels, 336 hours are looked at and 96 foreseen.
    """

    channels, past, future = 321, 336, 96
    input_shape, target_shape = (past, channels), (future, channels)

    def __init__(self, make_layer: MakeLayer) -> None:
        super().__init__()
        self.layer = make_layer(self.channels, self.past, self.future, None)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.transpose(1, 2))  # (B, channels, past) -> (B, channels, future)
        return y.transpose(1, 2)


class TabularMlp(Model):
    """An MLP on periodic embeddings of numbers, a linear layer of its own for each.

    Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS
    2022: PLR embeddings, x -> relu(NLinear(cos, sin of 2 pi c x)).
    """

    features, frequencies, embedding, hidden = 54, 48, 24, 256
    input_shape, target_shape = (features,), (1,)

    def __init__(self, make_layer: MakeLayer) -> None:
        super().__init__()
        self.frequency = nn.Parameter(0.1 * torch.randn(self.features, self.frequencies))
        self.layer = make_layer(self.features, 2 * self.frequencies, self.embedding, "relu")
        self.head = nn.Sequential(
            nn.Linear(self.features * self.embedding, self.hidden),
            nn.ReLU(),
            nn.Linear(self.hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        angle = 2 * math.pi * self.frequency * x.unsqueeze(-1)  # (B, features, frequencies)
        embedded = self.layer(torch.cat([angle.cos(), angle.sin()], dim=-1))
        y: Tensor = self.head(embedded.flatten(1))
        return y


class EnsembleMlp(Model):
    """Seven members that learn the same dynamics, as in PETS.

    Chua et al., "Deep Reinforcement Learning in a Handful of Trials using Probabilistic Dynamics
    Models", NeurIPS 2018; as mbrl-lib has it: four layers of 200 units with SiLU, 23 numbers of
    state and action, mean and variance of 18.
    """

    members, hidden, inputs, outputs = 7, 200, 23, 36
    input_shape, target_shape = (members, inputs), (members, outputs)

    def __init__(self, make_layer: MakeLayer) -> None:
        super().__init__()
        self.body = nn.Sequential(
            make_layer(self.members, self.inputs, self.hidden, "silu"),
            *(make_layer(self.members, self.hidden, self.hidden, "silu") for _ in range(3)),
            make_layer(self.members, self.hidden, self.outputs, None),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y


@dataclass(frozen=True)
class ModelCase:
    """A model and its batch."""

    name: str
    batch: int
    model: type[Model]

    @property
    def description(self) -> str:
        """What it is, in a line."""
        first_line = (self.model.__doc__ or "").splitlines()[0]
        return f"batch {self.batch}. {first_line}"


MODELS: Final = (
    ModelCase("LTSF individual linear", 16, IndividualLinear),
    ModelCase("tabular MLP on NLinear embeddings", 256, TabularMlp),
    ModelCase("ensemble MLP of 7", 256, EnsembleMlp),
)
