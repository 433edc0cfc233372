"""The C structs of the bridge: csrc/problem.h, kernels/example_gemm.h and runtime/report.h."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch


class View3(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 3))


class View2(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("stride", ctypes.c_int64 * 2))


_EXTENTS = tuple((name, ctypes.c_int64) for name in ("b", "t", "i", "o"))


class ForwardProblem(ctypes.Structure):
    _fields_ = (
        *_EXTENTS,
        ("dtype", ctypes.c_int32),
        ("activation", ctypes.c_int32),
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


class Counters(ctypes.Structure):
    _fields_ = (
        ("launches", ctypes.c_int64),
        ("blocks", ctypes.c_int64),
        ("switches", ctypes.c_int64),
        ("tma_boxes", ctypes.c_int64),
        ("wgmmas", ctypes.c_int64),
        ("mmas", ctypes.c_int64),
    )


class Report(ctypes.Structure):
    _fields_ = (
        ("ok", ctypes.c_int32),
        ("kind", ctypes.c_char * 24),
        ("message", ctypes.c_char * 1200),
        ("counters", Counters),
    )


# DType of csrc/problem.h.
DTYPES = {torch.float32: 0}


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
