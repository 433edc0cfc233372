"""Who computes a call, and on which device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from emulator.rounding import rounded_to_tf32
from hypothesis import event, reject

import per_step_dense as psd
from bench.precision import float32_products
from fuzz.judge import TORCHS, Arithmetic, Task

IN_TF32 = Arithmetic(
    lambda a, b: TORCHS.product(rounded_to_tf32(a), rounded_to_tf32(b)), TORCHS.activate
)


class Where(NamedTuple):
    """A name of use_kernel, a device, and how exact CUDA's products of float32 have to be."""

    family: str
    device: torch.device | str = "cpu"
    precision: Literal["ieee", "tf32"] = "ieee"

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """A call that the family refuses is none of the property's examples."""
        try:
            with psd.use_kernel(self.family), float32_products(self.precision):
                yield
        except ValueError as refusal:
            if not str(refusal).startswith(f"per_step_dense: use_kernel('{self.family}') "):
                raise
            event(f"{self.family} does not take it")
            reject()
        event(f"computed by {self.family}")

    def as_torch_has_it(self, task: Task) -> Task:
        """The task of torch, which multiplies what tensor cores multiply."""
        is_rounded = self.precision == "tf32" and task.given.x.dtype is torch.float32
        return task._replace(arithmetic=IN_TF32) if is_rounded else task
