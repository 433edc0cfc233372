"""The instantiations of the kernels, and how their emulated results are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cases
import emulator
import pytest
import torch
import truth
from emulator.rounding import rounded_to_tf32
from emulator.structs import TileFacts
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torchs_bmm import torchs_bmm

ALL = (True, True, True)

Sizes = tuple[int, int, int, int]  # B, T, I, O
Gradients = tuple[Tensor | None, Tensor | None, Tensor | None]  # dx, dweight, dbias


@dataclass(frozen=True)
class Kernel:
    """One tile of one family in one dtype, forward and backward. Of sm80 and sm90, float32 is
    tfloat32."""

    family: str
    tile: int
    dtype: torch.dtype
    facts: TileFacts

    def __str__(self) -> str:
        tile = self.facts.name.decode().replace(" ", "_")
        dtype = "tfloat32" if self.is_tf32 else cases.dtype_id(self.dtype)
        return f"{self.family}-{tile}-{dtype}"

    @property
    def has_backward(self) -> bool:
        """Of all gradients; in tfloat32 sm90 has that of x alone."""
        return not (self.family == "sm90" and self.is_tf32)

    @property
    def takes_ranges(self) -> bool:
        """Of rows that differ from step to step."""
        if self.family == "sm90" and not self.is_tf32:
            return self.facts.name.decode() in ("128x128", "64x256", "64x64")
        return True

    @property
    def is_tf32(self) -> bool:
        return has_tf32(self.family) and self.dtype is torch.float32

    def forward(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        activation: str = "none",
        **options,
    ) -> tuple[Tensor, Tensor | None]:
        result = emulator.forward(x, weight, bias, activation, **self._wishes, **options)
        self._assert_chosen()
        return result

    def backward(
        self,
        dz: Tensor,
        x: Tensor,
        weight: Tensor,
        mask: tuple[bool, bool, bool] = ALL,
        **options,
    ) -> Gradients:
        result = emulator.backward(dz, x, weight, mask, **self._wishes, **options)
        self._assert_chosen()
        return result

    def as_multiplied(self, operand: Tensor) -> Tensor:
        """The values that torch's product in this dtype multiplies."""
        return rounded_to_tf32(operand) if self.is_tf32 else operand

    @property
    def _wishes(self) -> dict[str, Any]:
        return {"kernel": self.family, "tile": self.tile, "tf32": self.is_tf32}

    def _assert_chosen(self) -> None:
        library = emulator.default_library()
        chosen = library.families[library.choice.family], library.choice.tile
        assert chosen == (self.family, self.tile)


def has_tf32(family: str) -> bool:
    return family in ("sm80", "sm90")


def kernels_of(*families: str) -> list[Kernel]:
    return [
        Kernel(family, index, dtype, facts)
        for family in families
        for dtype in cases.DTYPES
        for index, facts in enumerate(
            emulator.default_library().tiles(family, dtype, tf32=has_tf32(family))
        )
    ]


KERNELS = kernels_of("simt", "tiny", "sm80")
SM90_KERNELS = kernels_of("sm90")  # of tensors that TMA can describe; gradients of 16 bits alone


def each_of(kernels: list[Kernel]) -> pytest.MarkDecorator:
    """A test for each. Those of bfloat16 are slow ones: their code is float16's, but for the
    instructions that convert and multiply."""
    twin = (pytest.mark.slow, pytest.mark.in_turn)
    return pytest.mark.parametrize(
        "kernel",
        [
            pytest.param(kernel, marks=twin if kernel.dtype is torch.bfloat16 else ())
            for kernel in kernels
        ],
        ids=str,
    )


def torchs_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    z = torchs_bmm(x.transpose(0, 1), weight).transpose(0, 1)
    return z if bias is None else z + bias


def torchs_gradients(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Those that are products: of x and of the weight."""
    dx = torchs_bmm(dz.transpose(0, 1), weight.mT).transpose(0, 1)
    return dx, torchs_bmm(x.permute(1, 2, 0), dz.transpose(0, 1))


def assert_gradients_match_fp64(
    kernel: Kernel,
    dz: Tensor,
    x: Tensor,
    weight: Tensor,
    mask: tuple[bool, bool, bool] = ALL,
    **options,
) -> None:
    actual = kernel.backward(dz, x, weight, mask, **options)
    torchs = (*torchs_gradients(*map(kernel.as_multiplied, (dz, x, weight))), dz.sum(0))
    exact = (*torchs_gradients(dz.double(), x.double(), weight.double()), dz.double().sum(0))
    for wanted, *results in zip(mask, actual, torchs, exact, strict=True):
        if wanted:
            assert_as_close_as_torch(*results)
        else:
            assert results[0] is None


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    return truth.ACTIVATIONS[None if name == "none" else name]


def assert_forward_matches_fp64(
    kernel: Kernel, arguments: cases.Arguments, activation: str = "none", **options
) -> None:
    y, z = kernel.forward(*arguments, activation, want_z=True, **options)
    act = activation_named(activation)
    x, weight, bias = arguments
    torchs_z = torchs_product(kernel.as_multiplied(x), kernel.as_multiplied(weight), bias)
    exact_z = torchs_product(*map(truth.in_fp64, arguments))
    assert_as_close_as_torch(z, torchs_z, exact_z)
    # In float64 there is no truth but torch's own result, whose z is no closer to it than ours.
    exact_z = z if kernel.dtype is torch.float64 else exact_z
    assert_as_close_as_torch(y, act(torchs_z), act(exact_z))


def assert_both_match_fp64(kernel: Kernel, sizes: Sizes, **options) -> None:
    """Forward with a bias and backward, on contiguous arguments."""
    b, t, _, o = sizes
    arguments = cases.of_sizes(*sizes, kernel.dtype, "cpu")
    assert_forward_matches_fp64(kernel, arguments, **options)
    dz = cases.New(kernel.dtype, "cpu")(b, t, o)
    assert_gradients_match_fp64(kernel, dz, arguments.x, arguments.weight, **options)
