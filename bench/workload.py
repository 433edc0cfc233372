"""One row's work: which layer, on which device, and what of it is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from per_step_dense._types import Activation

from .cases import Case
from .record import Pass


@dataclass(frozen=True)
class Workload:
    """What all rivals of a row compute."""

    case: Case
    device: torch.device
    computed: Pass
    has_bias: bool
    activation: Activation | None

    @property
    def key(self) -> tuple[object, ...]:
        """That of the row it makes."""
        case = self.case
        return (case.name, case.arithmetic, self.computed, self.has_bias, self.activation)

    def __str__(self) -> str:
        case = self.case
        parts = ("bias" if self.has_bias else None, self.activation)
        epilogue = " + ".join(part for part in parts if part) or "product alone"
        return f"{case.name} {case.sizes} {case.arithmetic}, {self.computed.value}, {epilogue}"

    def inputs(self, seed: int = 0) -> Inputs:
        """Random values of the size that training begins with; the same for the same seed."""
        case = self.case
        generator = torch.Generator(self.device).manual_seed(seed)

        def normal(*shape: int, scale: float = 1.0) -> Tensor:
            values = torch.randn(
                shape, generator=generator, device=self.device, dtype=torch.float32
            )
            return values.mul_(scale).to(case.dtype)

        x = normal(case.batch, case.in_steps, case.in_features)
        weight = normal(
            case.steps, case.window_size, case.out_features, scale=case.window_size**-0.5
        )
        bias = normal(case.steps, case.out_features) if self.has_bias else None
        dy = normal(case.batch, case.steps, case.out_features)
        return Inputs(x, weight, bias, dy)


@dataclass(frozen=True)
class Inputs:
    """One set of arguments, and the gradient of the result.

    Without windows x is (B, T, I) and weight (T, I, O); with them x has the steps that they reach.
    """

    x: Tensor  # (B, (T - 1) * s + k, I)
    weight: Tensor  # (T, k * I, O)
    bias: Tensor | None  # (T, O)
    dy: Tensor  # (B, T, O)
