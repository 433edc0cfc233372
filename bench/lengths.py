"""How many steps each sample of a ragged batch has: drawn once, the same for all rivals."""

from __future__ import annotations

from functools import cache
from typing import Final, Literal, get_args

import torch
from torch import Tensor

Distribution = Literal["uniform", "long-tailed"]
DISTRIBUTIONS: Final[tuple[Distribution, ...]] = get_args(Distribution)

MEDIAN_PART: Final = 1 / 8
"""Of the steps, where lengths are long-tailed."""


@cache
def draw(distribution: Distribution, batch: int, steps: int) -> Tensor:
    """Lengths from 1 to ``steps``, the longest first: int64, on the CPU; not to be written to.

    "uniform": each length alike. "long-tailed": log-normal, as lengths of sentences are (Williams,
    Biometrika 31, 1940), with a median of an eighth of the steps and a sigma of 1, so that one in
    fifty is cut to ``steps``.
    """
    generator = torch.Generator().manual_seed(0)
    if distribution == "uniform":
        drawn = 1 + steps * torch.rand(batch, generator=generator, dtype=torch.float64)
    else:
        normal = torch.randn(batch, generator=generator, dtype=torch.float64)
        drawn = (steps * MEDIAN_PART * normal.exp()).ceil()
    return drawn.floor().long().clamp(1, steps).sort(descending=True).values


def exists(lengths: Tensor, steps: int) -> Tensor:
    """Which rows are some sample's: (B, T), on the CPU."""
    return torch.arange(steps) < lengths.unsqueeze(1)


def rows_by_step(lengths: Tensor, steps: int) -> Tensor:
    """How many samples have each step, as far as any has one: a packed sequence's batch sizes."""
    sizes = exists(lengths, steps).sum(0)
    return sizes[sizes > 0]


def in_any_order(batch: int) -> Tensor:
    """A permutation of the samples, always the same."""
    return torch.randperm(batch, generator=torch.Generator().manual_seed(1))
