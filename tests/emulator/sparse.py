"""Tensors that are larger than the machine: only the pages that somebody writes cost memory."""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Sequence

import torch

_NORESERVE = 0x4000  # mmap has a name for it from Python 3.13 on

FAR = 2**31 + 64
"""Elements between neighbours along a dimension: the least that 32 bits do not hold, and aligned as
every kernel may wish."""

LAYOUTS = ("sparse", "far")


def zeros(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Contiguous."""
    memory = mmap.mmap(
        -1,
        max(math.prod(shape), 1) * dtype.itemsize,
        flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE,
    )
    memory.madvise(mmap.MADV_NOHUGEPAGE)  # or a byte would cost 2 MB
    return torch.frombuffer(memory, dtype=dtype, count=math.prod(shape)).view(*shape)


def far(shape: Sequence[int], dtype: torch.dtype, *dims: int) -> torch.Tensor:
    """Zeros, whose neighbours along these dimensions lie FAR apart, or a multiple of it: the first
    of them has the largest stride. All other dimensions are contiguous."""
    strides = [0] * len(shape)
    step = 1
    for dim in sorted(set(range(len(shape))) - set(dims), reverse=True):
        strides[dim] = step
        step *= shape[dim]
    if step > FAR:
        raise ValueError(f"{tuple(shape)} does not fit between neighbours")
    step = FAR
    for dim in reversed(dims):
        strides[dim] = step
        step *= shape[dim]
    reach = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    return zeros((reach + 1,), dtype).as_strided(tuple(shape), strides)


def written(tensor: torch.Tensor) -> torch.Tensor:
    """The indices of a contiguous tensor's elements on pages that have been touched, in order."""
    page = mmap.PAGESIZE
    if tensor.data_ptr() % page:
        raise ValueError("the tensor does not begin where a page does")
    bytes_ = tensor.numel() * tensor.element_size()
    pages = torch.empty(-(-bytes_ // page), dtype=torch.uint8)
    found = ctypes.CDLL(None, use_errno=True).mincore(
        *map(ctypes.c_void_p, (tensor.data_ptr(),)),
        ctypes.c_size_t(bytes_),
        ctypes.c_void_p(pages.data_ptr()),
    )
    if found != 0:
        raise OSError(ctypes.get_errno(), "mincore")
    elements = page // tensor.element_size()
    first = pages.bitwise_and(1).nonzero() * elements
    inside = (first + torch.arange(elements)).flatten()
    return inside[inside < tensor.numel()]


class Output:
    """A result: "sparse" (contiguous) or "far" (rows of the first dimension lie FAR apart)."""

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, layout: str) -> None:
        self.tensor = far(shape, dtype, 0) if layout == "far" else zeros(shape, dtype)

    def has_intact_guards(self) -> bool:
        return True
