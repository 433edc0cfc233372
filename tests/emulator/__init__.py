"""Runs the CUDA kernels' own source on the CPU. README.md says how, and what that proves."""

from __future__ import annotations

from typing import Any

import torch

from .build import BuildError, Variant, build_driver, build_library, build_mutant
from .library import EmulatorError, Library, default_library, schedules
from .mutation import Mutation, mutated_tree
from .sources import REPOSITORY, Instantiation

__all__ = [
    "REPOSITORY",
    "BuildError",
    "EmulatorError",
    "Instantiation",
    "Library",
    "Mutation",
    "Variant",
    "activation_backward",
    "backward",
    "build_driver",
    "build_library",
    "build_mutant",
    "default_library",
    "forward",
    "mutated_tree",
    "schedules",
]


def forward(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    activation: str = "none",
    *,
    library: Library | None = None,
    **options: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Library.forward of this checkout's kernels, or of another build."""
    return (library or default_library()).forward(x, weight, bias, activation, **options)


def backward(
    dz: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    mask: tuple[bool, bool, bool] = (True, True, True),
    *,
    library: Library | None = None,
    **options: Any,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Library.backward of this checkout's kernels, or of another build."""
    return (library or default_library()).backward(dz, x, weight, mask, **options)


def activation_backward(
    dy: torch.Tensor,
    saved: torch.Tensor,
    activation: str,
    *,
    library: Library | None = None,
    **options: Any,
) -> torch.Tensor:
    """Library.activation_backward of this checkout's kernels, or of another build."""
    return (library or default_library()).activation_backward(dy, saved, activation, **options)
