"""Every kernel that can be forced on a device, and calls of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor

import per_step_dense as psd

from ..forced import forced_tile
from ..precision import float32_products

F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16
ARITHMETICS: Final[tuple[tuple[torch.dtype, Literal["ieee", "tf32"]], ...]] = (
    (F32, "ieee"),
    (F32, "tf32"),
    (F64, "ieee"),
    (F16, "ieee"),
    (BF16, "ieee"),
)
AUTO: Final = "auto"
FAMILIES: Final = ("tiny", "simt", "sm80", "sm90")
TENSOR_CORES: Final = ("sm80", "sm90")  # the others take tf32's tensors as they take float32's
ACTIVATION: Final = "gelu"

Sizes = tuple[int, int, int, int]  # B, T, I, O
Results = tuple[Tensor | None, ...]
Call = Callable[[], Results]
PassName = Literal["forward", "backward"]
PASSES: Final[tuple[PassName, ...]] = ("forward", "backward")

_MOST_TILES: Final = 16


class Inputs(NamedTuple):
    """What a layer is given, and the gradient of what it returns."""

    x: Tensor  # (B, T, I)
    weight: Tensor  # (T, I, O)
    bias: Tensor  # (T, O)
    dy: Tensor  # (B, T, O)


@dataclass(frozen=True)
class Kernel:
    """A tile of a family in one arithmetic; or, without a tile, what the chooser takes."""

    family: str
    tile: int | None
    dtype: torch.dtype
    precision: Literal["ieee", "tf32"]

    @property
    def name(self) -> str:
        """Such as ``sm80-2-bfloat16``."""
        tile = "" if self.tile is None else f"-{self.tile}"
        return f"{self.family}{tile}-{self.arithmetic}"

    @property
    def arithmetic(self) -> str:
        """The dtype, or "tf32"."""
        return "tf32" if self.precision == "tf32" else str(self.dtype).removeprefix("torch.")

    @property
    def has_dx_alone(self) -> bool:
        """Whether of a backward it has but the gradient of x."""
        return (self.family, self.precision) == ("sm90", "tf32")

    def call(self, computed: PassName, sizes: Sizes, device: torch.device, splits: int = 0) -> Call:
        """Of the ops, whose thread is the one that the tile is forced in: any thread may call it.

        Its ValueError: this kernel does not take such a call.
        """
        x, weight, bias, dz = random_inputs(sizes, self.dtype, device)
        ops = torch.ops.per_step_dense
        arguments: tuple[Tensor | str | bool | None, ...]
        if computed == "forward":
            op, arguments = ops.forward_with_preactivation, (x, weight, bias, ACTIVATION)
        elif self.has_dx_alone:
            op, arguments = ops.backward, (dz, None, weight, False)
        else:
            op, arguments = ops.backward, (dz, x, weight, True)

        def call() -> Results:
            with self._in_force(splits):
                results: Results = op(*arguments)
                return results

        return call

    def _in_force(self, splits: int) -> AbstractContextManager[None]:
        if self.tile is None:
            return nullcontext()
        return forced_tile(self.family, self.tile, splits)


def random_inputs(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Inputs:
    """Normally distributed."""
    b, t, i, o = sizes
    new = partial(torch.randn, dtype=dtype, device=device)
    return Inputs(new(b, t, i), new(t, i, o), new(t, o), new(b, t, o))


def kernels_on(device: torch.device, arch: str | None = None) -> Iterator[Kernel]:
    """All of them; on the CPU, which has no tiles, what it chooses.

    Args:
        device: where they are to run; ``meta`` with an architecture only lists them.
        arch: such as ``"sm_90"``; the device's own unless given.
    """
    for dtype, precision in ARITHMETICS:
        if device.type == "cpu" and precision == "tf32":
            continue
        yield Kernel(AUTO, None, dtype, precision)
        if device.type == "cpu":
            continue
        for family in FAMILIES if precision == "ieee" else TENSOR_CORES:
            for tile in range(_MOST_TILES):
                kernel = Kernel(family, tile, dtype, precision)
                if not _exists(kernel, device, arch):
                    break
                yield kernel


def _exists(kernel: Kernel, device: torch.device, arch: str | None) -> bool:
    x = torch.empty(1, 3, 8, dtype=kernel.dtype, device=device)
    weight = torch.empty(3, 8, 8, dtype=kernel.dtype, device=device)
    assert kernel.tile is not None
    try:
        with float32_products(kernel.precision), forced_tile(kernel.family, kernel.tile):
            return psd.explain(x, weight, arch=arch).kernel == kernel.family
    except ValueError:
        return False
