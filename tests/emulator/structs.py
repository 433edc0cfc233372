"""The C structs of the bridge: csrc/problem.h, bridge.h and what that includes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch


class View3(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 3))


class View2(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 2))


class RowRanges(ctypes.Structure):
    _fields_ = (
        ("begin", ctypes.c_void_p),
        ("count", ctypes.c_void_p),
        ("total", ctypes.c_int64),
        ("most", ctypes.c_int64),
    )


_EXTENTS = tuple((name, ctypes.c_int64) for name in ("b", "t", "i", "o"))


class ForwardProblem(ctypes.Structure):
    _fields_ = (
        *_EXTENTS,
        ("dtype", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("rows", RowRanges),
        ("x", View3),
        ("weight", View3),
        ("bias", View2),
        ("y", View3),
        ("z", View3),
    )


class BackwardProblem(ctypes.Structure):
    _fields_ = (
        *_EXTENTS,
        ("dtype", ctypes.c_int32),
        ("accumulation", ctypes.c_int32),
        ("rows", RowRanges),
        ("dz", View3),
        ("x", View3),
        ("weight", View3),
        ("dx", View3),
        ("dweight", View3),
        ("dbias", View2),
    )


class ActivationBackwardProblem(ctypes.Structure):
    _fields_ = (
        ("b", ctypes.c_int64),
        ("t", ctypes.c_int64),
        ("o", ctypes.c_int64),
        ("dtype", ctypes.c_int32),
        ("activation", ctypes.c_int32),
        ("dy", View3),
        ("saved", View3),
        ("dz", View3),
    )


class ExampleGemm(ctypes.Structure):
    _fields_ = (
        ("b", ctypes.c_int),
        ("t", ctypes.c_int),
        ("i", ctypes.c_int),
        ("o", ctypes.c_int),
        ("x", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
    )


class KernelRequest(ctypes.Structure):
    _fields_ = (
        ("family", ctypes.c_int32),
        ("tile", ctypes.c_int32),
        ("splits", ctypes.c_int32 * 2),
        ("architecture", ctypes.c_int32),
        ("sms", ctypes.c_int32),
    )


class Choice(ctypes.Structure):
    _fields_ = (
        ("family", ctypes.c_int32),
        ("tile", ctypes.c_int32),
        ("splits", ctypes.c_int32 * 2),
        ("sms", ctypes.c_int32),
    )


class LaunchShape(ctypes.Structure):
    _fields_ = (
        ("blocks", ctypes.c_uint),
        ("threads", ctypes.c_uint),
        ("smem_bytes", ctypes.c_size_t),
        ("cluster", ctypes.c_uint),
    )


class LaunchPlan(ctypes.Structure):
    _anonymous_ = ("shape",)
    _fields_ = (
        ("shape", LaunchShape),
        ("launches", ctypes.c_int),
        ("workspace_bytes", ctypes.c_size_t),
        ("launches_before", ctypes.c_int),
    )


class KernelDecision(ctypes.Structure):
    _fields_ = (("choice", Choice), ("plan", LaunchPlan))


class TileFacts(ctypes.Structure):
    _fields_ = (
        ("block_m", ctypes.c_int32),
        ("block_n", ctypes.c_int32),
        ("block_k", ctypes.c_int32),
        ("weight_m", ctypes.c_int32),
        ("weight_n", ctypes.c_int32),
        ("threads", ctypes.c_int32),
        ("blocks_per_sm", ctypes.c_int32),
        ("cluster", ctypes.c_int32),
        ("stages", ctypes.c_int32),
        ("name", ctypes.c_char * 24),
    )


class EncodeRequest(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("type", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("interleave", ctypes.c_int32),
        ("swizzle", ctypes.c_int32),
        ("promotion", ctypes.c_int32),
        ("fill", ctypes.c_int32),
        ("map_offset", ctypes.c_uint32),
        ("base", ctypes.c_uint64),
        ("extents", ctypes.c_uint64 * 3),
        ("strides", ctypes.c_uint64 * 2),
        ("box", ctypes.c_uint32 * 3),
        ("element_strides", ctypes.c_uint32 * 3),
    )


class Counters(ctypes.Structure):
    _fields_ = (
        ("launches", ctypes.c_int64),
        ("blocks", ctypes.c_int64),
        ("switches", ctypes.c_int64),
        ("tma_boxes", ctypes.c_int64),
        ("wgmmas", ctypes.c_int64),
        ("mmas", ctypes.c_int64),
        ("bank_conflicts", ctypes.c_int64),
    )


class Report(ctypes.Structure):
    _fields_ = (
        ("ok", ctypes.c_int32),
        ("kind", ctypes.c_char * 24),
        ("message", ctypes.c_char * 1200),
        ("counters", Counters),
        ("kernel", ctypes.c_char * 400 * 2),
    )


# DType of csrc/problem.h.
DTYPES = {
    dtype: index
    for index, dtype in enumerate((torch.float32, torch.float64, torch.float16, torch.bfloat16))
}
TFLOAT32 = 4
TYPES = (*(str(dtype).removeprefix("torch.") for dtype in DTYPES), "tfloat32")

OVERWRITE, ADD, ADD_FLOAT32 = range(3)  # Accumulation of csrc/problem.h


def dtype_index(dtype: torch.dtype, tf32: bool = False) -> int:
    """With `tf32`, products of float32 may round to tfloat32."""
    return TFLOAT32 if tf32 and dtype == torch.float32 else DTYPES[dtype]


def accumulation(dtype: torch.dtype, gradients: torch.dtype | None) -> int:
    """Of operands of a dtype into gradients of another, that are added to where it is not None."""
    if gradients is None:
        return OVERWRITE
    return ADD if gradients == dtype else ADD_FLOAT32


def row_ranges(begin: torch.Tensor | None, count: torch.Tensor | None) -> RowRanges:
    """All rows at every step, where there are no ranges."""
    if begin is None or count is None:
        return RowRanges(None, None, 0, 0)
    return RowRanges(begin.data_ptr(), count.data_ptr(), int(count.sum()), int(count.max()))


def view3(tensor: torch.Tensor | None) -> View3:
    """The tensor as the kernels see it; absent when None."""
    if tensor is None:
        return View3(None, (0, 0, 0))
    return View3(tensor.data_ptr(), _strides(tensor, 3))


def view2(tensor: torch.Tensor | None) -> View2:
    if tensor is None:
        return View2(None, (0, 0))
    return View2(tensor.data_ptr(), _strides(tensor, 2))


def _strides(tensor: torch.Tensor, rank: int) -> Sequence[int]:
    if tensor.dim() != rank:
        raise ValueError(f"expected {rank} dimensions, got {tuple(tensor.shape)}")
    return tuple(tensor.stride())
