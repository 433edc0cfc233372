"""Which kernels a thread asks for."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from types import TracebackType
from typing import Final

import torch

from . import _ops

_BATCH_INVARIANT: Final = "batch_invariant"

KNOWN: Final[tuple[str, ...]] = (
    ("auto", "reference")
    if _ops.compiled is None
    else tuple(name for name in _ops.compiled.known_kernels() if name != _BATCH_INVARIANT)
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


class _InForceContext(ContextDecorator):
    """Puts a name in force while it is entered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._before: list[str] = []  # one object may be entered again before it is left

    def __enter__(self) -> None:
        before = in_force.name
        _put_in_force(self._name_inside(before))
        self._before.append(before)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _put_in_force(self._before.pop())

    def _name_inside(self, outside: str) -> str:
        """What is in force in here, where ``outside`` is around it."""
        raise NotImplementedError


class use_kernel(_InForceContext):
    """Chooses the family of kernels for the calls of this thread.

    A context manager, which nests, or a decorator. A backward keeps its forward's family, wherever
    it runs (but for ``"sm90"`` in tf32, which lacks a gradient: the chooser finds another). The op
    itself has the same choice as an argument, ``family``, which comes first; inside code that
    torch.compile compiles, it is the bare op's only one.

    What torch.utils.checkpoint computes a second time, in the backward, runs outside a context that
    was around the first: let the context lie inside the function that is checkpointed.

    Inside :class:`batch_invariant`, which chooses by itself, ``"auto"`` leaves that in force.

    Args:
        name: ``"auto"`` (the chooser decides), ``"reference"`` (``torch.einsum`` and its autograd,
            on any device), or a family of CUDA kernels: ``"simt"``, ``"tiny"``, ``"sm80"``,
            ``"sm90"``.

    Raises:
        ValueError: the name of no family; later, a call that the family cannot take (not on CUDA,
            sizes, strides, alignment or a dtype that it does not have, a GPU that the module was
            not built for, a torch.func transform). On entry: a family inside
            :class:`batch_invariant`.
        TypeError: something else than a string.

    Example:
        >>> x, weight = torch.randn(32, 10, 4), torch.randn(10, 4, 8)
        >>> with use_kernel("reference"):
        ...     y = torch.ops.per_step_dense.forward(x, weight)
    """

    def __init__(self, name: str) -> None:
        _check_name(name)
        super().__init__(name)

    def _recreate_cm(self) -> use_kernel:
        return use_kernel(self.name)  # a decorated function may run in several threads

    def _name_inside(self, outside: str) -> str:
        if outside != _BATCH_INVARIANT:
            return self.name
        if self.name != "auto":
            raise ValueError(
                f"per_step_dense: use_kernel({self.name!r}) inside batch_invariant(), which "
                "chooses the kernels itself"
            )
        return outside


class batch_invariant(_InForceContext):
    """Makes a sample's result independent of how many samples are computed with it.

    A context manager, which nests, or a decorator. Of the calls of this thread, each row of the
    result, and of the gradient of x, has the same bits whatever the batch size, the other samples
    and their lengths, and the row's place among them. Gradients of weight and bias are sums over
    the samples, and as reproducible as without it.

    Otherwise the batch size has a say in which kernel, or which of a library's routines, is taken,
    and in how many parts a sum is added up. In here it is one family with one order of terms, for
    all sizes and strides: ``simt`` for float32 and float64, ``sm80`` for 16 bits and TF32, none of
    whose sums is split; on the CPU this package's kernels for float32 and 16 bits, and a plain
    loop for float64 and for CPUs without AVX2. What that costs is in docs/guarantees.md.

    A backward keeps its forward's choice. The second derivative of an activation is not covered.

    Raises:
        ValueError: on entry, inside a :class:`use_kernel` of a family, or without the compiled
            module; later, tensors that are neither on a CPU nor on CUDA, forward-mode AD.

    Example:
        >>> x, weight = torch.randn(32, 10, 4), torch.randn(10, 4, 8)
        >>> with batch_invariant():
        ...     y, y0 = per_step_dense(x, weight), per_step_dense(x[:1], weight)
        >>> torch.equal(y[:1], y0)
        True
    """

    def __init__(self) -> None:
        if _ops.compiled is None:
            raise ValueError(
                "per_step_dense: batch_invariant() needs the compiled module, which is missing: "
                f"{_ops.missing_reason}"
            )
        super().__init__(_BATCH_INVARIANT)

    def _recreate_cm(self) -> batch_invariant:
        return batch_invariant()

    def _name_inside(self, outside: str) -> str:
        if outside not in ("auto", _BATCH_INVARIANT):
            raise ValueError(
                f"per_step_dense: batch_invariant() inside use_kernel({outside!r}), which chooses "
                "the kernels itself"
            )
        return self.name


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
