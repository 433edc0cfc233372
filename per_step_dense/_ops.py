"""The compiled module, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from . import _flops

compiled: ModuleType | None
"""``per_step_dense._C``, whose import registers ``torch.ops.per_step_dense``; None without it."""

missing_reason: str
"""Why ``compiled`` is None, in the words of the failed import; empty otherwise."""

try:
    # import_module says of a missing module that it is missing; "from . import" would suspect a
    # circular import.
    compiled, missing_reason = import_module("._C", __package__), ""
except ImportError as error:
    compiled, missing_reason = None, str(error)

if compiled is not None:
    _flops.register()

forward: Callable[..., Tensor] | None = (
    None if compiled is None else torch.ops.per_step_dense.forward.default
)
"""The op; None without the compiled module."""

has_cuda_kernels: bool = compiled is not None and compiled.build_info()["cuda"] is not None
"""Whether the compiled module carries this package's own CUDA kernels."""
