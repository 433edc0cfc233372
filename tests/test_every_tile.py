"""Is every kernel that was compiled right on a GPU? Each tile of each family, forced, by name.

The sizes are small, so that compute-sanitizer can watch: ``compute-sanitizer --tool memcheck python
-m pytest --require-gpu tests/test_every_tile.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
import torch
from cases import of_sizes
from tolerance import assert_as_close_as_torch
from torch import Tensor

import per_step_dense as psd
from bench.forced import forced_tile
from bench.precision import float32_products
from per_step_dense import _ops

if not _ops.has_cuda_kernels:
    pytest.skip("needs a build with CUDA kernels", allow_module_level=True)

F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16


class Family(NamedTuple):
    """What of a family's kernels there is."""

    name: str
    dtypes: tuple[tuple[torch.dtype, str], ...]  # and float32's precision
    tiles: int


FAMILIES = (
    Family("tiny", ((F32, "ieee"), (F64, "ieee"), (F16, "ieee"), (BF16, "ieee")), 4),
    Family("simt", ((F32, "ieee"), (F64, "ieee"), (F16, "ieee"), (BF16, "ieee")), 4),
    Family("sm80", ((F32, "tf32"), (F16, "ieee"), (BF16, "ieee")), 6),
    Family("sm90", ((F16, "ieee"), (BF16, "ieee")), 8),
    Family("sm90", ((F32, "tf32"),), 2),
)
KERNELS = [
    pytest.param(family.name, dtype, precision, tile, id=f"{family.name}-{tile}-{name}")
    for family in FAMILIES
    for dtype, precision in family.dtypes
    for tile in range(family.tiles)
    for name in ["tf32" if precision == "tf32" else str(dtype).removeprefix("torch.")]
]

# Whole tiles and edges of all three dimensions; sums of one stage, of a ring that goes round, and
# such as are split; for tiny, what it takes.
SIZES = ((1, 3, 8, 8), (200, 3, 136, 264), (70, 2, 1600, 72), (1030, 2, 40, 24))
SIZES_OF_TINY = ((1, 3, 8, 8), (3, 2, 300, 70), (67, 5, 33, 31), (1030, 2, 40, 24), (50, 3, 900, 1))
UNALIGNED = (131, 3, 67, 129)


def sizes_for(family: str) -> tuple[tuple[int, int, int, int], ...]:
    if family == "tiny":
        return SIZES_OF_TINY
    return SIZES if family == "sm90" else (*SIZES, UNALIGNED)


def need(family: str, request: pytest.FixtureRequest) -> None:
    if family == "sm90":
        request.getfixturevalue("hopper")


def layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.nn.functional.gelu(torch.einsum("bti,tio->bto", x, weight) + bias)


def gradients(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    return (
        torch.einsum("bto,tio->bti", dz, weight),
        torch.einsum("bti,bto->tio", x, dz),
        dz.sum(0),
    )


Function = Callable[..., Tensor | tuple[Tensor, ...]]


def by_torch(function: Function, precision: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """On the CPU, which rounds as the tests' tolerance expects; in TF32, of rounded operands (torch
    computes small products without rounding them).
    """
    dtype = tensors[0].dtype
    there = [tensor.cpu() for tensor in tensors]
    if precision == "tf32":
        there = [rounded_to_tf32(tensor).double() for tensor in there]
    results = function(*there)
    results = results if isinstance(results, tuple) else (results,)
    return [result.to(device=tensors[0].device, dtype=dtype) for result in results]


def in_fp64(function: Function, tensors: Sequence[Tensor]) -> list[Tensor]:
    results = function(*(tensor.double() for tensor in tensors))
    return list(results) if isinstance(results, tuple) else [results]


def rounded_to_tf32(values: Tensor) -> Tensor:
    """To nearest, ties away from zero."""
    return ((values.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.mark.parametrize(("family", "dtype", "precision", "tile"), KERNELS)
def test_forward(
    gpu: torch.device,
    request: pytest.FixtureRequest,
    family: str,
    dtype: torch.dtype,
    precision: str,
    tile: int,
) -> None:
    need(family, request)
    for sizes in sizes_for(family):
        args = of_sizes(*sizes, dtype, gpu)
        (torchs,), (exact,) = by_torch(layer, precision, args), in_fp64(layer, args)
        for splits in (0, 1, 2):
            with float32_products(precision), forced_tile(family, tile, splits):
                y, z = torch.ops.per_step_dense.forward_with_preactivation(*args, "gelu")
                alone = psd.per_step_dense(*args, activation="gelu")
            assert_as_close_as_torch(y, torchs, exact)
            assert torch.equal(y, alone)
            of_z = torch.nn.functional.gelu(z.double()).to(dtype)
            assert_as_close_as_torch(of_z, torchs, exact)


@pytest.mark.parametrize(("family", "dtype", "precision", "tile"), KERNELS)
def test_backward(
    gpu: torch.device,
    request: pytest.FixtureRequest,
    family: str,
    dtype: torch.dtype,
    precision: str,
    tile: int,
) -> None:
    need(family, request)
    has_dx_alone = (family, precision) == ("sm90", "tf32")
    for b, t, i, o in sizes_for(family):
        x, weight, _ = of_sizes(b, t, i, o, dtype, gpu)
        dz = torch.randn(b, t, o, dtype=dtype, device=gpu)
        torchs = by_torch(gradients, precision, (dz, x, weight))
        truth = in_fp64(gradients, (dz, x, weight))
        if precision == "tf32":
            torchs[2] = dz.cpu().sum(0).to(gpu)  # nothing but operands of products is rounded
        for splits in (0, 1, 2):
            with float32_products(precision), forced_tile(family, tile, splits):
                found = torch.ops.per_step_dense.backward(
                    dz, None if has_dx_alone else x, weight, not has_dx_alone
                )
            for mine, its, exact in zip(found, torchs, truth, strict=True):
                if mine is not None:
                    assert_as_close_as_torch(mine, its, exact)


def test_these_are_all_tiles() -> None:
    """Meta tensors: whatever is compiled can be explained."""
    x, weight = (torch.empty(s, dtype=BF16, device="meta") for s in ((1, 3, 8), (3, 8, 8)))
    for family in FAMILIES:
        for dtype, precision in family.dtypes:
            with float32_products(precision):
                args = x.to(dtype), weight.to(dtype)
                for tile in range(family.tiles):
                    with forced_tile(family.name, tile):
                        assert psd.explain(*args, arch="sm_90").kernel == family.name
                with (
                    forced_tile(family.name, family.tiles),
                    pytest.raises(ValueError, match="has no tile"),
                ):
                    psd.explain(*args, arch="sm_90")
