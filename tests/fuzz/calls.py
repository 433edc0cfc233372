"""Random calls. What one prints is what a line of regressions.py is made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import truth
from cases import DTYPES, dtype_id
from hypothesis import strategies as st
from torch import Tensor

from fuzz.memory import Memory, draw_memory

ACTIVATIONS = ["none" if name is None else name for name in truth.ACTIVATIONS]
PIECEWISE_LINEAR = ["none", "relu"]  # exact where their argument is
# Of infinity these have the value of their formula, NaN where it says so, or their limit: torch's
# own differ from one of its routines to another.
WITHOUT_INFINITY = ["gelu", "gelu_tanh", "silu"]

NORMAL, INTEGERS, SPECIALS = "normal", "integers", "specials"


class Operands(NamedTuple):
    """Tensors of one dtype. With dz, they are those of a backward, too."""

    x: Tensor  # (*, T, I)
    weight: Tensor  # (T, I, O)
    bias: Tensor | None  # (T, O)
    dz: Tensor  # (*, T, O)


class Call(NamedTuple):
    """Sizes, values and where they lie."""

    batch: tuple[int, ...]
    steps: int
    in_features: int
    out_features: int
    dtype: str
    activation: str
    values: str
    seed: int
    x: Memory
    weight: Memory
    bias: Memory | None
    dz: Memory
    wants: tuple[bool, bool, bool] = (True, True, True)  # dx, dweight, dbias
    packed_rows: int | None = None  # x and dz are so many rows, each of some step

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    @property
    def is_exact(self) -> bool:
        """Whether sums of products come out exactly, in every order."""
        return self.values == INTEGERS or (self.dtype == "float64" and self.values == NORMAL)

    @property
    def values_without_specials(self) -> str:
        return NORMAL if self.values == SPECIALS else self.values

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of x, weight, bias and dz."""
        t, i, o = self.steps, self.in_features, self.out_features
        leading = (*self.batch, t) if self.packed_rows is None else (self.packed_rows,)
        return (*leading, i), (t, i, o), (t, o), (*leading, o)

    @property
    def rows(self) -> int:
        return math.prod(self.batch)

    def operands(self, device: torch.device | str = "cpu") -> Operands:
        memories = (self.x, self.weight, self.bias, self.dz)
        return Operands(
            *(
                None
                if memory is None
                else self._replace(seed=4 * self.seed + n).tensor(shape, memory, device)
                for n, (shape, memory) in enumerate(zip(self.shapes, memories, strict=True))
            )
        )

    def tensor(
        self, shape: Sequence[int], memory: Memory, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Of the call's values, by its seed alone."""
        generator = torch.Generator().manual_seed(self.seed)
        values = self._values(memory.extent(shape), generator)
        return moved(memory.place(shape, values), device)

    def _values(self, count: int, generator: torch.Generator) -> Tensor:
        """Those of float64 are multiples of 2^-17, whose products it can add 2^12 of exactly."""
        dtype = self.torch_dtype
        if self.values == INTEGERS:
            return torch.randint(-1, 2, (count,), generator=generator).to(dtype)
        values = torch.randn(count, generator=generator, dtype=torch.float64)
        values = (values * 2**17).round() / 2**17 if dtype is torch.float64 else values.to(dtype)
        if self.values == SPECIALS and count > 0:
            has_infinity = self.activation not in WITHOUT_INFINITY
            specials = [torch.nan, 0.0, *([torch.inf, -torch.inf] if has_infinity else [])]
            which = torch.randint(len(specials), (3,), generator=generator)
            where = torch.randint(count, (3,), generator=generator)
            values[where] = torch.tensor(specials, dtype=dtype)[which]
        return values


def moved(tensor: Tensor, device: torch.device | str) -> Tensor:
    """To lie there as it lies here."""
    elements = tensor.untyped_storage().nbytes() // tensor.itemsize
    storage = tensor.as_strided((elements,), (1,), 0).to(device)
    return storage.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


# How calls are drawn. What a call needs are functions of `draw`, and few strategies made anew: a
# strategy in a strategy takes hypothesis longer than the kernels take.

_EXTENTS = st.sampled_from(["few", "few", "edge", "limit", "any"])
_ORDERS = {names: st.sampled_from(list(itertools.permutations(names))) for names in ("btio", "io")}
_DTYPES = [dtype_id(dtype) for dtype in DTYPES]
_KINDS = st.sampled_from([NORMAL, NORMAL, INTEGERS, INTEGERS, SPECIALS])
_SEEDS = st.integers(0, 2**16)
_MASKS = st.sampled_from([mask for mask in itertools.product([True, False], repeat=3) if any(mask)])
_ANYWHERE = Memory(())


def draw_extent(draw: st.DrawFn, most: int, edges: Sequence[int], least: int) -> int:
    """The size of a dimension: mostly small, or near the edge of a tile, now and then large."""
    kind = draw(_EXTENTS)
    near = [n + d for n in edges for d in (-1, 0, 1) if least <= n + d <= most]
    if kind == "edge" and near:
        return draw(st.sampled_from(near))
    if kind == "limit":
        return draw(st.sampled_from([n for n in (0, 1, most) if least <= n <= most]))
    return draw(st.integers(least, most if kind == "any" else max(least, min(12, most))))


def draw_sizes(
    draw: st.DrawFn,
    *,
    edges: Sequence[int],
    most: int,
    most_steps: int,
    products: int,
    least: int,
    multiple: int,
    rows_of_steps: tuple[int, int] | None,
) -> tuple[int, int, int, int]:
    """B, T, I and O of at most so many products of elements. I and O are multiples."""
    found = dict(zip("bt", rows_of_steps or (), strict=False))
    left = products // max(math.prod(found.values()), 1)
    for name in draw(_ORDERS["io" if found else "btio"]):
        unit = multiple if name in "io" else 1
        limit = max(min(most_steps if name == "t" else most, left) // unit, 1)
        found[name] = unit * draw_extent(draw, limit, [edge // unit for edge in edges], least)
        left //= max(found[name], 1)
    return found["b"], found["t"], found["i"], found["o"]


def draw_batch(draw: st.DrawFn, b: int) -> tuple[int, ...]:
    """Leading dimensions of so many rows."""
    if b == 1 and draw(st.booleans()):
        return ()
    divisors = [d for d in range(2, min(b, 64)) if b % d == 0]
    if not divisors or draw(st.integers(0, 2)) > 0:
        return (b,)
    divisor = draw(st.sampled_from(divisors))
    return draw(st.sampled_from([(divisor, b // divisor), (divisor, 1, b // divisor)]))


def draw_places(draw: st.DrawFn, call: Call, *, multiple: int = 1) -> Call:
    """The call with its tensors in random places; it is without a bias now and then."""
    x, weight, bias, dz = call.shapes
    return call._replace(
        x=draw_memory(draw, x, multiple=multiple, may_expand=range(1, len(x) - 1)),
        weight=draw_memory(draw, weight, multiple=multiple, may_expand=[0]),
        bias=None if draw(st.booleans()) else draw_memory(draw, bias),
        dz=draw_memory(draw, dz, multiple=multiple, may_expand=range(1, len(dz) - 1)),
    )


def draw_call(
    draw: st.DrawFn,
    *,
    edges: Sequence[int] = (16, 32, 64, 128, 256),
    most: int = 1000,
    most_steps: int = 1000,
    products: int = 300_000,
    dtypes: Sequence[str] = _DTYPES,
    activations: Sequence[str] = ACTIVATIONS,
    several_batch_dims: bool = True,
    least: int = 0,
    multiple: int = 1,
    rows_of_steps: tuple[int, int] | None = None,
) -> Call:
    """Of at most so many products of elements, and of such dtypes and activations.

    Args:
        edges: Sizes that are tried with one less and one more.
        most: The largest size; most_steps: of T.
        least: The smallest.
        multiple: With one, I and O are such, and tensors lie so that tensor maps can describe them.
        rows_of_steps: How many rows x and dz have, each of some step, and how many steps there are.
    """
    b, t, i, o = draw_sizes(
        draw,
        edges=edges,
        most=most,
        most_steps=most_steps,
        products=products,
        least=least,
        multiple=multiple,
        rows_of_steps=rows_of_steps,
    )
    call = Call(
        draw_batch(draw, b) if several_batch_dims else (b,),
        *(t, i, o),
        draw(st.sampled_from(dtypes)),
        draw(st.sampled_from(activations)),
        draw(_KINDS),
        draw(_SEEDS),
        *(_ANYWHERE, _ANYWHERE, None, _ANYWHERE),
        draw(_MASKS),
        None if rows_of_steps is None else b,
    )
    return draw_places(draw, call, multiple=multiple)


calls = st.composite(draw_call)
