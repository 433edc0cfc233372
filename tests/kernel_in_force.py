"""For tests of use_kernel: which kernel is in force, and that none is left so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cases import Arguments, of_sizes

import per_step_dense as psd
from per_step_dense import _ops


@pytest.fixture(autouse=True)
def nothing_is_left_in_force() -> Iterator[None]:
    """Around every test of a file that imports it."""
    yield
    assert (in_force(), psd.kernels.in_force.name) == ("auto", "auto")


def in_force() -> str:
    """For the calls of this thread."""
    return _ops.compiled.kernel_in_force()


def small(device: torch.device | str = "cpu", grad: bool = True) -> Arguments:
    """In float64."""
    args = of_sizes(6, 5, 7, 9, torch.float64, device)
    return Arguments(*(tensor.requires_grad_(grad) for tensor in args))
