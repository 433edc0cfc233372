"""Runs of the package's kernels that tell whether a fault planted in them shows.

A scenario runs one operation under one schedule and says what is wrong with the result, or nothing.
Its arguments are chosen so that the code it is about runs: strides that allow copies of one width,
edges inside a tile, sums that are split.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .library import Library

Scenario = Callable[[Library, str], str]

# Relative to 1 + |exact|; what rounding a result leaves, with some room.
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12, torch.float16: 2e-3, torch.bfloat16: 0.02}


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """The largest; infinite where a value is NaN."""
    error = (actual - expected).abs() / (1 + expected.abs())
    return float(error.nan_to_num(nan=torch.inf).max())


def is_close(actual: Tensor, expected: Tensor) -> bool:
    return relative_error(actual, expected) <= TOLERANCES[actual.dtype]


class New:
    """Makes the same random tensors whenever it is made anew."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._generator = torch.Generator().manual_seed(3)
        self._dtype = dtype

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator).to(self._dtype)

    def padded(self, *shape: int, pitch: int) -> Tensor:
        """Rows that begin `pitch` elements apart."""
        return self(*shape[:-1], pitch)[..., : shape[-1]]

    def padded_to(self, multiple: int, *shape: int) -> Tensor:
        """Rows that begin at the next multiple of so many elements."""
        return self.padded(*shape, pitch=-(-shape[-1] // multiple) * multiple)


def wrong_forward(
    library: Library, schedule: str, x: Tensor, weight: Tensor, bias: Tensor, **wishes: Any
) -> str:
    y, z = library.forward(x, weight, bias, "tanh", want_z=True, schedule=schedule, **wishes)
    exact = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias.double()
    assert z is not None
    if not is_close(z, exact):
        return "z is wrong"
    return "" if is_close(y, exact.tanh()) else "y is wrong"


def wrong_backward(
    library: Library, schedule: str, dz: Tensor, x: Tensor, weight: Tensor, **wishes: Any
) -> str:
    dx, dweight, dbias = library.backward(dz, x, weight, schedule=schedule, **wishes)
    assert dx is not None and dweight is not None and dbias is not None
    exact = dz.double()
    if not is_close(dx, torch.einsum("bto,tio->bti", exact, weight.double())):
        return "dx is wrong"
    if not is_close(dweight, torch.einsum("bti,bto->tio", x.double(), exact)):
        return "dweight is wrong"
    return "" if is_close(dbias, exact.sum(0)) else "dbias is wrong"


def forward_of_strides(library: Library, schedule: str, **wishes: Any) -> str:
    """Elements are copied one by one: gaps in x, a transposed weight, one bias for all steps."""
    new = New(torch.float32)
    x = new(130, 2, 84)[:, :, :80:2]
    weight = new(2, 70, 40).transpose(1, 2)
    return wrong_forward(library, schedule, x, weight, new(70).expand(2, 70), **wishes)


def forward_of_rows(
    library: Library,
    schedule: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    pitch: int,
    **wishes: Any,
) -> str:
    """Rows as long as `sizes` say, two steps of them, that begin at multiples of `pitch`."""
    b, i, o = sizes
    new = New(dtype)
    x = new.padded_to(pitch, b, 2, i)
    weight = new.padded_to(pitch, 2, i, o)
    return wrong_forward(library, schedule, x, weight, new(2, o), **wishes)


def backward_of_rows(
    library: Library,
    schedule: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    pitch: int,
    **wishes: Any,
) -> str:
    b, i, o = sizes
    new = New(dtype)
    dz = new.padded_to(pitch, b, 2, o)
    x = new.padded_to(pitch, b, 2, i)
    weight = new.padded_to(pitch, 2, i, o)
    return wrong_backward(library, schedule, dz, x, weight, **wishes)


def forward_misaligned(library: Library, schedule: str, **wishes: Any) -> str:
    """Strides that allow copies of 16 bytes, at an address that does not."""
    new = New(torch.float32)
    x = new(70 * 2 * 40 + 1)[1:].view(70, 2, 40)
    weight = new(2 * 40 * 72 + 2)[2:].view(2, 40, 72)
    return wrong_forward(library, schedule, x, weight, new(2, 72), **wishes)


def forward_of_odd_steps(library: Library, schedule: str, **wishes: Any) -> str:
    """Only the stride of the steps does not allow copies of 16 bytes."""
    new = New(torch.float32)
    x = new(70 * 92).as_strided((70, 2, 40), (92, 42, 1))
    weight = new(2 * 40 * 72 + 1).as_strided((2, 40, 72), (40 * 72 + 1, 72, 1))
    return wrong_forward(library, schedule, x, weight, new(2, 72), **wishes)


def forward_of_odd_rows(library: Library, schedule: str, **wishes: Any) -> str:
    """Only the stride of the rows does not allow copies of 16 bytes."""
    new = New(torch.float32)
    x = new.padded(2, 70, 72, pitch=74).transpose(0, 1)
    weight = new.padded(2, 72, 72, pitch=74)
    return wrong_forward(library, schedule, x, weight, new(2, 72), **wishes)


def backward_of_windows(library: Library, schedule: str, **wishes: Any) -> str:
    """x overlaps itself."""
    new = New(torch.float32)
    x = new(130, 80).as_strided((130, 2, 40), (80, 20, 1))
    return wrong_backward(library, schedule, new(130, 2, 70), x, new(2, 40, 70), **wishes)


def long_sums(library: Library, schedule: str, **wishes: Any) -> str:
    """Sums so long that adding them up term by term shows."""
    new = New(torch.float32)
    x, weight = new(64, 1, 2048), new(1, 2048, 2)
    y, _ = library.forward(x, weight, schedule=schedule, **wishes)
    if relative_error(y, torch.einsum("bti,tio->bto", x.double(), weight.double())) > 1.5e-5:
        return "y is inaccurate"
    dz = 1 + new(50_000, 1, 1)
    _, _, dbias = library.backward(
        dz, torch.empty(50_000, 1, 1), weight[:, :1, :1], (False, False, True), schedule=schedule,
        **wishes,
    )  # fmt: skip
    assert dbias is not None
    return "dbias is inaccurate" if relative_error(dbias, dz.double().sum(0)) > 1e-7 else ""


def activation_backward(library: Library, schedule: str) -> str:
    new = New(torch.float32)
    dy, saved = new(7, 3, 33).transpose(0, 1), new(3, 7, 33).sigmoid()
    dz = library.activation_backward(dy, saved, "sigmoid", schedule=schedule)
    expected = dy.double() * saved.double() * (1 - saved.double())
    return "" if is_close(dz, expected) else "dz is wrong"


def _of_tiny(
    scenario: Callable[..., str],
    dtype: torch.dtype | None = None,
    sizes: tuple[int, int, int] | None = None,
    *,
    tile: int,
    splits: tuple[int, int] = (1, 1),
    **arguments: Any,
) -> Scenario:
    if sizes is not None:
        arguments.update(dtype=dtype, sizes=sizes)
    return partial(scenario, kernel="tiny", tile=tile, splits=splits, **arguments)


LARGE: dict[str, Any] = {"kernel": "simt", "tile": 0}
MIDDLE: dict[str, Any] = {"kernel": "simt", "tile": 1}
SMALL: dict[str, Any] = {"kernel": "simt", "tile": 2}
FEW_ROWS: dict[str, Any] = {"kernel": "simt", "tile": 3}
UNSPLIT = (1, 1)

SIMT_SCENARIOS: dict[str, Scenario] = {
    "forward": partial(forward_of_strides, **MIDDLE, splits=UNSPLIT),
    "forward of vectors": partial(
        forward_of_rows, dtype=torch.float32, sizes=(70, 151, 69), pitch=4, **MIDDLE, splits=UNSPLIT
    ),
    "forward of 8-byte copies": partial(
        forward_of_rows, dtype=torch.bfloat16, sizes=(35, 99, 35), pitch=4, **SMALL, splits=UNSPLIT
    ),
    "forward of 16-bit elements": partial(
        forward_of_rows, dtype=torch.float16, sizes=(70, 75, 71), pitch=1, **MIDDLE, splits=UNSPLIT
    ),
    "misaligned forward": partial(forward_misaligned, **MIDDLE, splits=UNSPLIT),
    "forward of odd steps": partial(forward_of_odd_steps, **MIDDLE, splits=UNSPLIT),
    "forward of odd rows": partial(forward_of_odd_rows, **MIDDLE, splits=UNSPLIT),
    "forward into padded rows": partial(
        forward_of_strides, **MIDDLE, splits=UNSPLIT, outputs="padded"
    ),
    "backward into strided rows": partial(
        backward_of_windows, **MIDDLE, splits=UNSPLIT, outputs="strided"
    ),
    "backward": partial(backward_of_windows, **MIDDLE, splits=UNSPLIT),
    "backward of vectors": partial(
        backward_of_rows,
        dtype=torch.float64,
        sizes=(135, 130, 70),
        pitch=2,
        **LARGE,
        splits=UNSPLIT,
    ),
    "split forward": partial(
        forward_of_rows, dtype=torch.float32, sizes=(35, 149, 37), pitch=4, **SMALL, splits=(3, 1)
    ),
    "split backward": partial(
        backward_of_rows, dtype=torch.bfloat16, sizes=(150, 40, 70), pitch=8, **SMALL, splits=(2, 3)
    ),
    "long sums": partial(long_sums, **SMALL, splits=UNSPLIT),
    "forward of few rows": partial(
        forward_of_rows,
        dtype=torch.float32,
        sizes=(13, 37, 131),
        pitch=1,
        **FEW_ROWS,
        splits=UNSPLIT,
    ),
    "backward of few rows": partial(
        backward_of_rows,
        dtype=torch.float32,
        sizes=(37, 13, 131),
        pitch=1,
        **FEW_ROWS,
        splits=UNSPLIT,
    ),
}
NARROW, WIDE, NARROW_SLICED, WIDE_SLICED = (partial(_of_tiny, tile=tile) for tile in range(4))
TINY_SCENARIOS: dict[str, Scenario] = {
    "tiny forward": NARROW(forward_of_rows, torch.float32, (13, 19, 11), pitch=1),
    "tiny forward of vectors": WIDE(forward_of_rows, torch.float32, (13, 26, 40), pitch=4),
    "tiny forward of elements": WIDE(forward_of_rows, torch.bfloat16, (13, 19, 21), pitch=1),
    "tiny backward": NARROW(backward_of_rows, torch.float64, (21, 19, 11), pitch=1),
    "tiny backward of vectors": WIDE(backward_of_rows, torch.float16, (21, 16, 24), pitch=8),
    "tiny backward of one column": NARROW(backward_of_rows, torch.float32, (21, 19, 1), pitch=1),
    "tiny backward of two columns": NARROW(backward_of_rows, torch.float32, (21, 19, 2), pitch=1),
    "tiny backward of elements": WIDE(backward_of_rows, torch.bfloat16, (13, 19, 21), pitch=1),
    "tiny forward of ragged vectors": WIDE(forward_of_rows, torch.float32, (13, 24, 39), pitch=4),
    "tiny into padded rows": WIDE(
        forward_of_rows, torch.float32, (13, 24, 39), pitch=4, outputs="padded"
    ),
    "tiny misaligned forward": WIDE(forward_misaligned),
    "tiny forward of odd steps": WIDE(forward_of_odd_steps),
    "tiny forward of strides": WIDE(forward_of_strides),
    "tiny lanes": NARROW_SLICED(forward_of_rows, torch.float32, (5, 301, 1), pitch=1),
    "tiny warps": WIDE_SLICED(forward_of_rows, torch.float32, (3, 301, 40), pitch=4),
    "tiny backward by warps": NARROW_SLICED(backward_of_rows, torch.float32, (300, 8, 12), pitch=4),
    "tiny split forward": WIDE(forward_of_rows, torch.float32, (9, 75, 20), pitch=4, splits=(3, 1)),
    "tiny split backward": NARROW_SLICED(
        backward_of_rows, torch.bfloat16, (150, 20, 30), pitch=2, splits=(2, 3)
    ),
    "tiny long sums": NARROW(long_sums),
}
SCENARIOS: dict[str, Scenario] = {
    **SIMT_SCENARIOS,
    **TINY_SCENARIOS,
    "activation_backward": activation_backward,
}
