"""The ops in torch's own operations, for what knows no others: ONNX, and other compilers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import _ops, reference


def decompositions() -> dict[Any, Callable[..., Any]]:
    """What ``torch.export.ExportedProgram.run_decompositions`` replaces this package's ops by.

    The forward becomes an einsum, the bias and the activation: all that a program has which was
    exported for inference. A family of kernels that ``use_kernel`` asked for is left out, as the
    program no longer calls any.

    Returns:
        A table for ``run_decompositions``; empty without the compiled module, whose op is then
        traced as an einsum anyway.

    Example:
        >>> model = torch.nn.Sequential(PerStepDense(10, 4, 8, activation="gelu"))
        >>> program = torch.export.export(model, (torch.randn(32, 10, 4),))
        >>> program = program.run_decompositions(decompositions())
        >>> torch.onnx.export(program).save("model.onnx")
    """
    return {} if _ops.compiled is None else {torch.ops.per_step_dense.forward.default: _forward}


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str = "none",
    family: str = "auto",
) -> Tensor:
    known: Any = None if activation == "none" else activation
    return reference.per_step_dense(x, weight, bias, activation=known)
