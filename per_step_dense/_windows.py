"""Windows that slide over the steps of a tensor, as a view of it."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from .reference import autocast, is_autocast_on

_SMALL: Final = 2**15
"""Elements. Below that the Python of a gradient of our own costs more than its sums save."""


def windows_of(
    x: Tensor,  # (*, L, I)
    kernel_size: int,
    stride: int,
) -> Tensor:  # (*, T, k * I) with T = (L - k) // stride + 1
    """What each output step sees, overlapping in memory where windows overlap.

    ``x`` itself is copied, which is less than its windows, where it does not lie so that a window
    is one stretch of it, and where autocast is on, which would copy the windows instead.
    """
    if is_autocast_on(x.device.type):
        x = autocast(x)
    in_features = x.size(-1)
    if kernel_size > 1 and in_features > 1 and x.stride(-2) != in_features * x.stride(-1):
        x = x.contiguous()
    if not (_has_gradient(x) and _is_worth_its_own(x)):
        return _view(x, kernel_size, stride)
    # Dynamo takes no function that has a jvp.
    function = _Windows if torch.compiler.is_compiling() else _WindowsWithTangents
    windows: Tensor = function.apply(x, kernel_size, stride)  # type: ignore[no-untyped-call]
    return windows


def _has_gradient(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad


def _is_worth_its_own(x: Tensor) -> bool:
    """Whether ``_Windows`` is better than ``Tensor.unfold``, whose gradient is as deterministic.

    On CPUs that one mostly takes two to four times as long. Compiled, it is an ``index_put`` by
    atomics; and torch.func.vmap has no rule for it.
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or x.numel() >= _SMALL
    )


def _view(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    windows = x.unfold(-2, kernel_size, stride)  # (*, T, I, k)
    *leading, in_features, _ = windows.shape
    return windows.transpose(-1, -2).reshape(*leading, kernel_size * in_features)


def _fold(
    windows: Tensor,  # (*, T, k * I)
    in_steps: int,
    kernel_size: int,
    stride: int,
) -> Tensor:  # (*, L, I)
    """The sum at each step of what all windows have there: the transpose of the view."""
    *leading, out_steps, window_size = windows.shape
    in_features = window_size // kernel_size
    x = windows.new_empty(*leading, in_steps, in_features)
    # Part j of all windows goes to every stride-th step from j on. The first parts are the first to
    # write there, but for the steps after the last window's stride.
    covered = min(out_steps * stride, in_steps)
    x.narrow(-2, covered, in_steps - covered).zero_()
    for j in range(max(kernel_size, stride)):
        # Not by indexing, which is an alias where it is all of x: torch.autograd.grad cannot batch
        # one (is_grads_batched).
        steps = torch.ops.aten.slice(x, -2, j, j + (out_steps - 1) * stride + 1, stride)
        if j >= kernel_size:  # between windows
            steps.zero_()
        elif j < stride:
            steps.copy_(windows.narrow(-1, j * in_features, in_features))
        else:
            steps.add_(windows.narrow(-1, j * in_features, in_features))
    return x


class _Windows(torch.autograd.Function):
    """The view, with a gradient by strided sums."""

    @staticmethod
    def forward(x: Tensor, kernel_size: int, stride: int) -> Tensor:
        return _view(x, kernel_size, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:
        x, ctx.kernel_size, ctx.stride = inputs
        ctx.in_steps = x.size(-2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        fold = _fold if torch.compiler.is_compiling() else _Fold.apply
        return fold(gradient, ctx.in_steps, ctx.kernel_size, ctx.stride), None, None

    @staticmethod
    def vmap(
        info: object, in_dims: tuple[int, None, None], x: Tensor, kernel_size: int, stride: int
    ) -> tuple[Tensor, int]:
        return windows_of(x.movedim(in_dims[0], 0), kernel_size, stride), 0


class _WindowsWithTangents(_Windows):
    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _view(tangent, ctx.kernel_size, ctx.stride)


class _Fold(torch.autograd.Function):
    """The transpose, which has the view for its gradient."""

    @staticmethod
    def forward(windows: Tensor, in_steps: int, kernel_size: int, stride: int) -> Tensor:
        return _fold(windows, in_steps, kernel_size, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, int, int], output: Tensor) -> None:
        _, ctx.in_steps, ctx.kernel_size, ctx.stride = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return windows_of(gradient, ctx.kernel_size, ctx.stride), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return _fold(tangent, ctx.in_steps, ctx.kernel_size, ctx.stride)

    @staticmethod
    def vmap(
        info: object,
        in_dims: tuple[int, None, None, None],
        windows: Tensor,
        in_steps: int,
        kernel_size: int,
        stride: int,
    ) -> tuple[Tensor, int]:
        batched = windows.movedim(in_dims[0], 0)
        x: Tensor = _Fold.apply(batched, in_steps, kernel_size, stride)  # type: ignore[no-untyped-call]
        return x, 0
