"""Rivals through torch.compile."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..contestant import Results
from ..workload import Inputs, Workload
from .base import Function, Gradients, TorchRival


class Compiled(TorchRival):
    """Another rival's function, compiled for the sizes of the row."""

    def __init__(self, rival: TorchRival, mode: str | None = None) -> None:
        self._rival = rival
        self._mode = mode

    @property
    def name(self) -> str:  # type: ignore[override]
        suffix = "" if self._mode is None else f", {self._mode}"
        return f"torch.compile({self._rival.name}{suffix})"

    @property
    def summary(self) -> str:
        return f"the function of {self._rival.name}, compiled with activation and gradients"

    @property
    def only_when_named(self) -> bool:  # type: ignore[override]
        return self._mode is not None

    def why_not(self, workload: Workload) -> str | None:
        return self._rival.why_not(workload)

    def function(self, workload: Workload) -> Function:
        return torch.compile(
            self._rival.function(workload), dynamic=False, fullgraph=True, mode=self._mode
        )

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        return self._rival.arguments(inputs, workload)

    def dy(self, inputs: Inputs, workload: Workload) -> Tensor:
        return self._rival.dy(inputs, workload)

    def leaves(self, arguments: tuple[object, ...]) -> tuple[Tensor, ...]:
        return self._rival.leaves(arguments)

    def restore(self, gradients: Sequence[Tensor]) -> Gradients:
        return self._rival.restore(gradients)

    def results(self, y: Tensor, gradients: Sequence[Tensor], workload: Workload) -> Results:
        return self._rival.results(y, gradients, workload)
