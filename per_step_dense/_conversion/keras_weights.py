"""What a Keras layer's ``get_weights()`` gives, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .._checks import check_is_dense_tensor


def read_weights(weights: Sequence[Any]) -> tuple[Tensor, Tensor | None]:
    """The kernel and, where there is one, the bias.

    Raises:
        ValueError: other than one or two of them.
        TypeError: no list or tuple; what is no array or tensor; dtypes that differ or are
            unsupported.
    """
    expected = "weights must be [kernel, bias] or [kernel], as get_weights() gives them"
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"per_step_dense: {expected}; got {type(weights).__name__}")
    if len(weights) not in (1, 2):
        raise ValueError(f"per_step_dense: {expected}; got {len(weights)} arrays")
    kernel = as_tensor("kernel", weights[0])
    if len(weights) == 1:
        return kernel, None
    bias = as_tensor("bias", weights[1])
    if bias.dtype != kernel.dtype:
        raise TypeError(
            f"per_step_dense: bias must have the dtype of kernel, {kernel.dtype}; got {bias.dtype}"
        )
    return kernel, bias


def as_tensor(name: str, value: Any) -> Tensor:
    """A tensor as it is; a copy of a NumPy array or of another framework's variable."""
    if isinstance(value, Tensor):
        tensor = value.detach()
    else:
        array = value.numpy() if hasattr(value, "numpy") else value
        if not hasattr(array, "__array__"):
            raise TypeError(
                f"per_step_dense: {name} must be a NumPy array or a tensor; "
                f"got {type(value).__name__}"
            )
        array = array.__array__()
        if array.dtype.name == "bfloat16":  # of ml_dtypes, unknown to torch
            tensor = torch.tensor(array.view("int16")).view(torch.bfloat16)
        else:
            tensor = _as_tensor(name, array)
    check_is_dense_tensor(name, tensor)
    return tensor


def _as_tensor(name: str, array: Any) -> Tensor:
    try:
        return torch.tensor(array)
    except TypeError as error:  # objects, strings
        raise TypeError(f"per_step_dense: {name} must be an array of numbers; {error}") from None
