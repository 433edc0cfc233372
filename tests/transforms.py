"""Arguments small enough for every transform of torch.func, and how their results are compared."""

from __future__ import annotations

import torch
from cases import Arguments, Layer, of_sizes


def small(device: torch.device) -> Arguments:
    """In float64."""
    return of_sizes(3, 2, 4, 3, torch.float64, device)


def assert_same(actual: object, expected: object) -> None:
    """As far as float64 goes."""
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def loss_of(layer: Layer, activation: str | None) -> Layer:
    """A number of the layer's arguments."""
    return lambda *args: layer(*args, activation=activation).square().sum()
