"""Which kernels a thread asks for."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from types import TracebackType
from typing import Final

import torch

from . import _ops

KNOWN: Final[tuple[str, ...]] = (
    ("auto", "reference") if _ops.compiled is None else tuple(_ops.compiled.known_kernels())
)
"""What ``use_kernel`` takes in this installation."""


class _InForce(threading.local):
    """What the compiled module holds for the thread, once more where torch.compile sees it.

    torch.compile guards on this name, so that code compiled under one kernel does not run under
    another, and writes it as a constant into the graph, which the compiled module's own state,
    being set and reset at run time, could not enter.
    """

    def __init__(self) -> None:
        self.name = "auto"


in_force: Final = _InForce()


class use_kernel(ContextDecorator):
    """Chooses the family of kernels for the calls of this thread.

    A context manager, which nests, or a decorator. A backward keeps its forward's family, wherever
    it runs (but for ``"sm90"`` in tf32, which lacks a gradient: the chooser finds another). The op
    itself has the same choice as an argument, ``family``, which comes first; inside code that
    torch.compile compiles, it is the bare op's only one.

    What torch.utils.checkpoint computes a second time, in the backward, runs outside a context that
    was around the first: let the context lie inside the function that is checkpointed.

    Args:
        name: ``"auto"`` (the chooser decides), ``"reference"`` (``torch.einsum`` and its autograd,
            on any device), or a family of CUDA kernels: ``"simt"``, ``"tiny"``, ``"sm80"``,
            ``"sm90"``.

    Raises:
        ValueError: the name of no family; later, a call that the family cannot take (not on CUDA,
            sizes, strides, alignment or a dtype that it does not have, a GPU that the module was
            not built for, a torch.func transform).
        TypeError: something else than a string.

    Example:
        >>> x, weight = torch.randn(32, 10, 4), torch.randn(10, 4, 8)
        >>> with use_kernel("reference"):
        ...     y = torch.ops.per_step_dense.forward(x, weight)
    """

    def __init__(self, name: str) -> None:
        _check_name(name)
        self.name = name
        self._before: list[str] = []  # one object may be entered again before it is left

    def _recreate_cm(self) -> use_kernel:
        return use_kernel(self.name)  # a decorated function may run in several threads

    def __enter__(self) -> None:
        self._before.append(in_force.name)
        _put_in_force(self.name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _put_in_force(self._before.pop())


def _put_in_force(name: str) -> None:
    in_force.name = name
    if _ops.compiled is not None and not torch.compiler.is_compiling():
        _ops.compiled.set_kernel(name)


def _check_name(name: object) -> None:
    expected = f"kernel must be one of {', '.join(KNOWN)}"
    if not isinstance(name, str):
        raise TypeError(f"per_step_dense: {expected}; got {type(name).__name__}")
    if name in KNOWN:
        return
    reason = (
        f" (the others need the compiled module, which is missing: {_ops.missing_reason})"
        if _ops.compiled is None
        else ""
    )
    raise ValueError(f"per_step_dense: {expected}; got {name!r}{reason}")
