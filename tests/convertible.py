"""Layers such as psd.convert converts, under the names that libraries have for theirs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import per_step_dense as psd
from per_step_dense._conversion import in_place

STEPS, IN, OUT, BATCH = 5, 3, 4, 6


class NLinear(nn.Module):
    """Steps before features, any batch."""

    def __init__(self, steps: int = STEPS, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(steps, IN, OUT))
        self.bias = nn.Parameter(torch.randn(steps, OUT)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("...ti,tio->...to", x, self.weight)
        return y if self.bias is None else y + self.bias


class EnsembleLinear(nn.Module):
    """Members first, with a mode in which it is scaled."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(STEPS, IN, OUT))
        if bias:
            self.bias = nn.Parameter(torch.randn(STEPS, 1, OUT))
        self.has_bias = bias
        self.is_doubled = False

    def forward(self, input: Tensor) -> Tensor:
        y = input @ self.weight
        if self.has_bias:
            y = y + self.bias
        return 2 * y if self.is_doubled else y


class Forecaster(nn.Module):
    """A layer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = NLinear()
        self.second = nn.Conv1d(STEPS * OUT, STEPS * IN, 1, groups=STEPS)
        self.third = nn.ModuleList(nn.Linear(IN, OUT) for _ in range(STEPS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = self.second(x.reshape(-1, STEPS * OUT, 1)).reshape(-1, STEPS, IN).relu()
        if isinstance(self.third, in_place.InPlace):
            return self.third(x)
        return torch.stack([each(x[:, t]) for t, each in enumerate(self.third)], 1)


LINEARS = ("third",)


def converted_forecaster() -> tuple[Forecaster, Forecaster]:
    original = Forecaster()
    model = copy.deepcopy(original)
    psd.convert(model, linears=LINEARS, verbose=False)
    return model, original


def check_same(
    module: nn.Module, original: nn.Module, x: Tensor, device: torch.device | str = "cpu"
) -> None:
    """Outputs and all gradients, in float64."""
    module, original = module.to(device, torch.float64), original.to(device, torch.float64)
    xs = [x.to(device, torch.float64).requires_grad_() for _ in range(2)]
    results = [each(x_of) for each, x_of in zip((module, original), xs, strict=True)]
    torch.testing.assert_close(*results)
    assert results[0].is_contiguous() or not isinstance(original, nn.Conv1d)
    weights = torch.randn_like(results[0])
    for y in results:
        (y.sin() * weights).sum().backward()
    torch.testing.assert_close(xs[0].grad, xs[1].grad)
    gradients = {name: p.grad for name, p in module.named_parameters()}
    assert gradients.keys() == dict(original.named_parameters()).keys()
    for name, parameter in original.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def calls_of_this_package(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of x in the calls that converted modules make from now on."""
    shapes: list[tuple[int, ...]] = []

    def noted(x: Tensor, *arguments: Any) -> Tensor:
        shapes.append(tuple(x.shape))
        return psd.per_step_dense(x, *arguments)

    monkeypatch.setattr(in_place, "per_step_dense", noted)
    return shapes


# With the shape of an input.
KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "steps": (NLinear, (BATCH, STEPS, IN)),
    "steps, no bias": (lambda: NLinear(bias=False), (BATCH, STEPS, IN)),
    "steps, no batch": (NLinear, (STEPS, IN)),
    "steps, batches": (NLinear, (2, BATCH, STEPS, IN)),
    "steps, nothing": (NLinear, (0, STEPS, IN)),
    "one step": (lambda: NLinear(steps=1), (BATCH, 1, IN)),
    "members": (EnsembleLinear, (STEPS, BATCH, IN)),
    "members, one batch": (EnsembleLinear, (BATCH, IN)),
    "members, no bias": (lambda: EnsembleLinear(bias=False), (STEPS, BATCH, IN)),
    "convolution": (
        lambda: nn.Conv1d(STEPS * IN, STEPS * OUT, 1, groups=STEPS),
        (BATCH, STEPS * IN, 1),
    ),
    "convolution, no batch": (
        lambda: nn.Conv1d(STEPS * IN, STEPS * OUT, 1, groups=STEPS),
        (STEPS * IN, 1),
    ),
    "convolution, no bias": (
        lambda: nn.Conv1d(
            STEPS * IN, STEPS * OUT, 1, groups=STEPS, bias=False, padding="same", dilation=2
        ),
        (BATCH, STEPS * IN, 1),
    ),
}
