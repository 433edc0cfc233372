"""The compiled module, or why there is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Final

import torch
from torch import Tensor

from . import _fakes, _flops, _module_file
from ._checks import ACTIVATIONS as _NAMES

compiled: ModuleType | None
"""``per_step_dense._C``, whose import registers ``torch.ops.per_step_dense``; None without it."""

missing_reason: str
"""Why ``compiled`` is None, in the words of the failed import; empty otherwise."""

try:
    _module_file.check(f"{__package__}._C")
    # import_module says of a missing module that it is missing; "from . import" would suspect a
    # circular import.
    compiled, missing_reason = import_module("._C", __package__), ""
except ImportError as error:
    compiled, missing_reason = None, str(error)
    # It is there, and of no use.
    if not isinstance(error, ModuleNotFoundError):  # pragma: no cover: tests run it in copies
        warnings.warn(
            "per_step_dense: plain torch operations take the place of its compiled module, which "
            f"cannot be used: {missing_reason}",
            stacklevel=2,
        )

if compiled is not None:
    _flops.register()
    _fakes.register()

forward: Callable[..., Tensor] | None = (
    None if compiled is None else torch.ops.per_step_dense.forward.default
)
"""The op; None without the compiled module."""

ragged_forward: Callable[..., Tensor] | None = (
    None if compiled is None else torch.ops.per_step_dense.ragged_forward.default
)
"""Of batches whose samples differ in length; None without the compiled module."""

ACTIVATIONS: Final[dict[str | None, str]] = {None: "none", **{name: name for name in _NAMES}}
"""What the ops call them: their schemas have no None, and nobody else's words are let through."""

has_cuda_kernels: bool = compiled is not None and compiled.build_info()["cuda"] is not None
"""Whether the compiled module carries this package's own CUDA kernels."""
