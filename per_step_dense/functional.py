"""The function."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Final

from torch import Tensor

from . import _ops, reference
from ._checks import ACTIVATIONS, check_activation, check_are_dense_tensors, is_dtensor
from ._types import Activation
from .kernels import in_force

# The op's schema has no None among its activations, and nobody else's words are let through to it.
_OP_ACTIVATIONS: Final[dict[str | None, str]] = {None: "none", **{a: a for a in ACTIVATIONS}}


def per_step_dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
) -> Tensor:
    r"""A different dense layer at every time step.

    .. math:: y_{b,t,:} = \mathrm{activation}(x_{b,t,:} W_t + b_t)

    Differentiable any number of times in ``x``, ``weight`` and ``bias``; works under autocast,
    torch.func transforms and forward-mode AD.

    Args:
        x: the input, with any strides.
        weight: one matrix per step, with any strides.
        bias: one vector per step, or None.
        activation: None, ``"relu"``, ``"gelu"`` (exact, by erf), ``"gelu_tanh"``, ``"silu"``,
            ``"tanh"`` or ``"sigmoid"``.

    Shape:
        - x: :math:`(*, T, I)`
        - weight: :math:`(T, I, O)`
        - bias: :math:`(T, O)`
        - result: :math:`(*, T, O)`, contiguous

    All tensors have one device and one dtype: float32, float64, float16 or bfloat16 (16-bit types
    accumulate in float32). Nothing broadcasts. Sizes may be zero. On CUDA float32's products follow
    ``torch.backends.cuda.matmul.fp32_precision``: IEEE, or rounded to TF32 where that says
    ``"tf32"``; their sums, and the bias's gradient, are float32 either way.

    Returns:
        The activated sum, of x's dtype and device.

    Raises:
        ValueError: a shape, rank, device, layout or activation name that does not fit; a kernel
            asked for by ``use_kernel`` that cannot take the call; a GPU that this installation's
            kernels cannot run on.
        TypeError: an argument that is no tensor, or has an unsupported or different dtype.

    Example:
        >>> x, weight, bias = torch.randn(32, 10, 4), torch.randn(10, 4, 8), torch.randn(10, 8)
        >>> per_step_dense(x, weight, bias, activation="relu").shape
        torch.Size([32, 10, 8])
    """
    if type(x) is not Tensor and is_dtensor(x):  # the first spares a tiny call the second
        return _on_dtensors(x, weight, bias, activation)
    if not _ops.has_cuda_kernels and isinstance(x, Tensor) and x.is_cuda:
        _warn_that_cuda_runs_without_kernels()
    if _ops.forward is None:
        return reference.per_step_dense(x, weight, bias, activation=activation)
    kernel = in_force.name
    try:
        if activation is None and kernel == "auto":  # a string costs a tiny call a twentieth
            return _ops.forward(x, weight, bias)
        return _ops.forward(x, weight, bias, _OP_ACTIVATIONS[activation], kernel)
    except Exception as error:
        refusal = error
    # The op checks its arguments itself; what its schema or the dispatcher refused before that, in
    # torch's words, is said here in this package's.
    check_activation(activation)
    check_are_dense_tensors(x, weight, bias)
    if is_dtensor(weight) or is_dtensor(bias):
        return _on_dtensors(x, weight, bias, activation)
    raise refusal


def _on_dtensors(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation | None
) -> Tensor:
    from .distributed import _call  # which imports much that nobody else needs

    return _call.per_step_dense(x, weight, bias, activation, in_force.name)


@cache  # once a process, wherever the calls come from
def _warn_that_cuda_runs_without_kernels() -> None:
    reason = (
        f"its compiled module is missing ({_ops.missing_reason})"
        if _ops.compiled is None
        else "it was built without CUDA"
    )
    warnings.warn(
        f"per_step_dense: CUDA tensors run through plain torch operations because {reason}; "
        "see `python -m per_step_dense info`",
        stacklevel=3,
    )
