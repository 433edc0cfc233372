"""Tensors as data: how they lie in memory, what they are of, and how they are spoiled."""

from __future__ import annotations

import itertools
import math
import random
from typing import NamedTuple

import torch
from torch import Tensor

SMALL = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64)
HUGE = (
    *(2**15 - 1, 2**16 + 1, 2**20, 2**24 + 1, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**33),
    *(2**40, 2**52, 2**61, 2**62, 2**63 - 1),
)
FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
OTHER_DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint64"),
    *("complex64", "complex128", "float8_e4m3fn", "float8_e5m2"),
)
KINDS = (
    *("sparse_coo", "sparse_csr", "mkldnn", "nested", "jagged", "quantized", "parameter"),
    *("neg", "conj", "zero"),
)
VIEWS = ("parameter", "neg", "zero")
NO_TENSORS = (None, 2.5, 1, "x", b"x", [1.0, 2.0], (), object)
FILLS = (1.0, 1.0, 1.0, -0.5, 0.0, float("nan"), float("inf"), 3e38)

LARGEST_IN_FULL = 64  # larger dimensions have stride 0, as those of expanded tensors do
MOST_ELEMENTS = 1 << 13


class TensorSpec(NamedTuple):
    """A tensor to be made: a view that ends where its storage does."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    kind: str = "strided"
    requires_grad: bool = False
    fill: float = 1.0
    values: tuple[int, ...] = ()  # in place of the fill, over and over
    shares: str = ""  # the argument whose memory this one's is, where that has room

    @property
    def is_huge(self) -> bool:
        return any(size > LARGEST_IN_FULL for size in self.shape)

    @property
    def kind_made(self) -> str:
        """Of what is huge there are views alone: the other kinds copy every element."""
        return self.kind if self.kind in VIEWS or not self.is_huge else "strided"

    def values_read(self) -> list[int]:
        """As they come in order, from the first dimension on; one, where that is repeated."""
        count = math.prod(self.shape)
        if self.is_huge or 0 in self.stride:
            return list(self.values[:1])
        return list(itertools.islice(itertools.cycle(self.values), count))

    def elements(self) -> int:
        """From the start of the storage to the last element."""
        if 0 in self.shape:
            return self.offset
        steps = zip(self.shape, self.stride, strict=True)
        return self.offset + 1 + sum((size - 1) * stride for size, stride in steps)


class ImpossibleError(Exception):
    """torch has no such tensor."""


def draw_size(rng: random.Random) -> int:
    return rng.choice(SMALL)


def draw_tensor(rng: random.Random, shape: tuple[int, ...], dtype: str, device: str) -> TensorSpec:
    """A right one of this shape, lying somehow."""
    offset = rng.choice((0, 0, 0, 1, 2, 3, 5))
    requires_grad = rng.random() < 0.25
    fill = rng.choice(FILLS)
    spec = TensorSpec(shape, (), offset, dtype, device, "strided", requires_grad, fill)
    return spec._replace(stride=draw_stride(rng, shape))


def draw_stride(rng: random.Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Dense in some order, with gaps, expanded, or as overlapping windows."""
    order = list(range(len(shape)))
    if rng.random() < 0.3:
        rng.shuffle(order)
    gap = rng.choice((1, 1, 1, 1, 2, 3))
    expanded = rng.random() < 0.15
    stride = [0] * len(shape)
    reach = rng.choice((1, 1, 1, gap))
    for dimension in reversed(order):
        size = shape[dimension]
        is_expanded = size > LARGEST_IN_FULL or (expanded and rng.random() < 0.5)
        if is_expanded or reach * max(size, 1) > MOST_ELEMENTS:
            continue
        stride[dimension] = reach
        reach *= max(size, 1) * gap
    if rng.random() < 0.05 and len(shape) >= 2:
        stride[0] = stride[-1]
    return tuple(stride)


def spoiled(rng: random.Random, spec: TensorSpec, names: tuple[str, ...]) -> object:
    """The tensor with one thing wrong, or something else in its place."""
    match rng.randrange(10):
        case 0:
            shape = list(spec.shape)
            shape.insert(rng.randint(0, len(shape)), rng.choice((0, 1, 2, rng.choice(HUGE))))
            return _of_shape(rng, spec, shape)
        case 1 if spec.shape:
            shape = list(spec.shape)
            del shape[rng.randrange(len(shape))]
            return _of_shape(rng, spec, shape)
        case 2 | 3 if spec.shape:
            shape = list(spec.shape)
            dimension = rng.randrange(len(shape))
            near = (shape[dimension] + 1, max(shape[dimension] - 1, 0), draw_size(rng))
            shape[dimension] = rng.choice((*near, rng.choice(HUGE)))
            return _of_shape(rng, spec, shape)
        case 4:
            shape = list(spec.shape)
            rng.shuffle(shape)
            return _of_shape(rng, spec, shape)
        case 5:
            return spec._replace(dtype=rng.choice((*OTHER_DTYPES, *FLOATS)))
        case 6:
            return spec._replace(device="cpu" if spec.device == "meta" else "meta")
        case 7:
            return spec._replace(kind=rng.choice(KINDS))
        case 8:
            return spec._replace(shares=rng.choice(names))
        case _:
            return rng.choice(NO_TENSORS)


def _of_shape(rng: random.Random, spec: TensorSpec, shape: list[int]) -> TensorSpec:
    return spec._replace(shape=tuple(shape), stride=draw_stride(rng, tuple(shape)))


def make(spec: TensorSpec, made: dict[str, object]) -> Tensor:
    """The tensor; `made` are the arguments before it."""
    try:
        tensor = _of_kind(_strided(spec, made.get(spec.shares)), spec)
        if spec.requires_grad and tensor.is_floating_point():
            tensor.requires_grad_()
        return tensor
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ImpossibleError(f"{spec}: {error}") from error


def _strided(spec: TensorSpec, shares: object) -> Tensor:
    dtype = getattr(torch, spec.dtype)
    where = spec.shape, spec.stride, spec.offset
    if isinstance(shares, Tensor) and shares.dtype == dtype and shares.layout == torch.strided:
        storage = shares.detach()
        if spec.elements() <= storage.untyped_storage().nbytes() // storage.element_size():
            return storage.as_strided(*where)
    elements = spec.elements()
    if spec.device == "cpu" and elements > 4 * MOST_ELEMENTS:
        raise ImpossibleError("too much memory")
    fill = spec.fill if spec.dtype in FLOATS else 1
    tensor = torch.full((elements,), fill, dtype=dtype, device=spec.device).as_strided(*where)
    if spec.values and spec.device == "cpu":
        values = torch.tensor(spec.values_read(), dtype=torch.int64).to(dtype)
        if values.numel() == 1:
            tensor.as_strided((elements,), (1,), 0).fill_(values[0])
        else:
            tensor.copy_(values.view(tensor.shape))
    return tensor


def _of_kind(tensor: Tensor, spec: TensorSpec) -> Tensor:
    match spec.kind_made:
        case "sparse_coo":
            return tensor.to_sparse()
        case "sparse_csr":
            return tensor.to_sparse_csr()
        case "mkldnn":
            return tensor.to_mkldnn()
        case "nested":
            return torch.nested.nested_tensor([tensor, tensor])
        case "jagged":
            return torch.nested.nested_tensor([tensor, tensor], layout=torch.jagged)
        case "quantized":
            return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)
        case "parameter":
            return torch.nn.Parameter(tensor, requires_grad=spec.requires_grad)
        case "neg":
            return torch._neg_view(tensor)
        case "conj":
            return tensor.to(torch.complex64).conj()
        case "zero":
            return torch._efficientzerotensor(spec.shape, dtype=tensor.dtype, device=spec.device)
        case _:
            return tensor
