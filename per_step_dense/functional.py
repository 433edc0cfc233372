"""The function."""

from __future__ import annotations

import warnings
from functools import cache
from typing import overload

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from . import _ops, _ragged, reference
from ._checks import (
    check_activation,
    check_are_dense_tensors,
    check_has_no_lengths,
    is_dtensor,
)
from ._types import Activation
from .kernels import in_force


@overload
def per_step_dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
    lengths: Tensor | None = None,
) -> Tensor: ...
@overload
def per_step_dense(
    x: PackedSequence,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
) -> PackedSequence: ...
def per_step_dense(
    x: Tensor | PackedSequence,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
    lengths: Tensor | None = None,
) -> Tensor | PackedSequence:
    r"""A different dense layer at every time step.

    .. math:: y_{b,t,:} = \mathrm{activation}(x_{b,t,:} W_t + b_t)

    Differentiable any number of times in ``x``, ``weight`` and ``bias``; works under autocast,
    torch.func transforms and forward-mode AD.

    Args:
        x: the input, with any strides; or a :class:`torch.nn.utils.rnn.PackedSequence`, of at most
            T steps.
        weight: one matrix per step, with any strides.
        bias: one vector per step, or None.
        activation: None, ``"relu"``, ``"gelu"`` (exact, by erf), ``"gelu_tanh"``, ``"silu"``,
            ``"tanh"`` or ``"sigmoid"``.
        lengths: how many steps each sample has, int64 and on the CPU wherever x is, as
            ``pack_padded_sequence`` takes them; from 0 to T. None: all have T.

    Shape:
        - x: :math:`(*, T, I)`
        - weight: :math:`(T, I, O)`
        - bias: :math:`(T, O)`
        - lengths: :math:`(*)`
        - result: :math:`(*, T, O)`, contiguous

    All tensors have one device and one dtype: float32, float64, float16 or bfloat16 (16-bit types
    accumulate in float32). Nothing broadcasts. Sizes may be zero. On CUDA float32's products follow
    ``torch.backends.cuda.matmul.fp32_precision``: IEEE, or rounded to TF32 where that says
    ``"tf32"``; their sums, and the bias's gradient, are float32 either way.

    Samples that differ in length cost no arithmetic beyond it: rows past a sample's length are
    neither computed nor read, come out zero, and take and give no gradient. Where the samples come
    sorted, the longest first, each step's rows are taken from x as they lie; in another order they
    are copied together first, and their results copied back. Of a packed sequence every row is some
    step's, and nothing is copied. Steps that no sample has get a gradient of zero.

    Returns:
        The activated sum, of x's dtype and device; of a packed sequence another one, with its batch
        sizes and indices.

    Raises:
        ValueError: a shape, rank, device, layout or activation name that does not fit; lengths of
            another shape or device, or out of their range; a packed sequence of more than T steps;
            samples of different lengths with DTensors, or captured into a CUDA graph; a kernel
            asked for by ``use_kernel`` that cannot take the call; a GPU that this installation's
            kernels cannot run on.
        TypeError: an argument that is no tensor, or has an unsupported or different dtype; lengths
            that are not int64.

    Example:
        >>> x, weight, bias = torch.randn(32, 10, 4), torch.randn(10, 4, 8), torch.randn(10, 8)
        >>> per_step_dense(x, weight, bias, activation="relu").shape
        torch.Size([32, 10, 8])

        >>> lengths = torch.arange(32) % 11
        >>> per_step_dense(x, weight, bias, lengths=lengths)[3, 3:].count_nonzero()
        tensor(0)
    """
    if type(x) is not Tensor:  # spares a tiny call what follows
        if isinstance(x, PackedSequence):
            check_has_no_lengths(lengths)
            if not _ops.has_cuda_kernels and x.is_cuda:
                _warn_that_cuda_runs_without_kernels()
            return _ragged.of_packed(x, weight, bias, activation, in_force.name)
        if lengths is None and is_dtensor(x):
            return _on_dtensors(x, weight, bias, activation)
    if not _ops.has_cuda_kernels and isinstance(x, Tensor) and x.is_cuda:
        _warn_that_cuda_runs_without_kernels()
    if lengths is not None:
        return _ragged.of_padded(x, weight, bias, lengths, activation, in_force.name)
    if _ops.forward is None:
        return reference.per_step_dense(x, weight, bias, activation=activation)
    kernel = in_force.name
    try:
        if activation is None and kernel == "auto":  # a string costs a tiny call a twentieth
            return _ops.forward(x, weight, bias)
        return _ops.forward(x, weight, bias, _ops.ACTIVATIONS[activation], kernel)
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
