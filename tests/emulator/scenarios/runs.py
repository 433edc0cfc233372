"""Runs of one operation that say what is wrong with its result, and the arguments they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..library import Library
from ..rounding import rounded_to_tf32

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


def as_multiplied(operand: Tensor, *, tf32: bool = False, **_: Any) -> Tensor:
    """In float64."""
    rounds = tf32 and operand.dtype == torch.float32
    return (rounded_to_tf32(operand) if rounds else operand).double()


def wrong_forward(
    library: Library, schedule: str, x: Tensor, weight: Tensor, bias: Tensor, **wishes: Any
) -> str:
    y, z = library.forward(x, weight, bias, "tanh", want_z=True, schedule=schedule, **wishes)
    assert z is not None
    x, weight = (as_multiplied(operand, **wishes) for operand in (x, weight))
    exact = torch.einsum("bti,tio->bto", x, weight) + bias.double()
    if not is_close(z, exact):
        return "z is wrong"
    return "" if is_close(y, exact.tanh()) else "y is wrong"


def wrong_backward(
    library: Library, schedule: str, dz: Tensor, x: Tensor, weight: Tensor, **wishes: Any
) -> str:
    dx, dweight, dbias = library.backward(dz, x, weight, schedule=schedule, **wishes)
    assert dx is not None and dweight is not None and dbias is not None
    if not is_close(dbias, dz.double().sum(0)):
        return "dbias is wrong"
    dz, x, weight = (as_multiplied(operand, **wishes) for operand in (dz, x, weight))
    if not is_close(dx, torch.einsum("bto,tio->bti", dz, weight)):
        return "dx is wrong"
    return "" if is_close(dweight, torch.einsum("bti,bto->tio", x, dz)) else "dweight is wrong"


def forward_of_strides(
    library: Library, schedule: str, dtype: torch.dtype = torch.float32, **wishes: Any
) -> str:
    """Elements are copied one by one: gaps in x, a transposed weight, one bias for all steps."""
    new = New(dtype)
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


def accumulation_of_rows(
    library: Library,
    schedule: str,
    dtype: torch.dtype,
    sizes: tuple[int, int, int],
    *,
    into: torch.dtype,
    **wishes: Any,
) -> str:
    """dweight and dbias are added to what is there, of another dtype."""
    b, i, o = sizes
    new, old = New(dtype), New(into)
    dz, x, added_to = new(b, 2, o), new(b, 2, i), (old(2, i, o), old(2, o))
    _, dweight, dbias = library.backward(
        dz, x, new(2, i, o), (False, True, True), added_to=added_to, schedule=schedule, **wishes
    )
    assert dweight is not None and dbias is not None
    if not is_close(dbias, added_to[1].double() + dz.double().sum(0)):
        return "dbias is wrong"
    dz, x = (as_multiplied(operand, **wishes) for operand in (dz, x))
    exact = added_to[0].double() + torch.einsum("bti,bto->tio", x, dz)
    return "" if is_close(dweight, exact) else "dweight is wrong"


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
    return long_column_sums(library, schedule, **wishes)


def long_column_sums(library: Library, schedule: str, **wishes: Any) -> str:
    dz = 1 + New(torch.float32)(50_000, 1, 1)
    x, weight = torch.empty(50_000, 1, 1), torch.empty(1, 1, 1)
    mask = (False, False, True)
    _, _, dbias = library.backward(dz, x, weight, mask, schedule=schedule, **wishes)
    assert dbias is not None
    return "dbias is inaccurate" if relative_error(dbias, dz.double().sum(0)) > 1e-7 else ""


def activation_backward(library: Library, schedule: str) -> str:
    new = New(torch.float32)
    dy, saved = new(7, 3, 33).transpose(0, 1), new(3, 7, 33).sigmoid()
    dz = library.activation_backward(dy, saved, "sigmoid", schedule=schedule)
    expected = dy.double() * saved.double() * (1 - saved.double())
    return "" if is_close(dz, expected) else "dz is wrong"
