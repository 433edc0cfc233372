"""What the arguments must be, and the errors that say so.

The texts are those of ``csrc/check.cpp``: an argument is refused with the same words whether the
function, the op or the reference meets it first.
"""

from __future__ import annotations

import operator
import sys
from typing import TYPE_CHECKING, Final, SupportsIndex, TypeGuard, get_args

import torch

from ._types import Activation

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

SUPPORTED_DTYPES: Final = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
ACTIVATIONS: Final[tuple[str, ...]] = get_args(Activation)


def check_activation(activation: object) -> None:
    """Raises TypeError or ValueError unless ``activation`` is None or a known name."""
    if activation is None:
        return
    expected = f"activation must be None or one of {', '.join(ACTIVATIONS)}"
    if not isinstance(activation, str):
        raise TypeError(f"per_step_dense: {expected}; got {type(activation).__name__}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"per_step_dense: {expected}; got {activation!r}")


def check_are_dense_tensors(x: object, weight: object, bias: object | None) -> None:
    """Raises TypeError or ValueError unless all are dense tensors of supported dtypes."""
    check_is_dense_tensor("x", x)
    check_is_dense_tensor("weight", weight)
    if bias is not None:
        check_is_dense_tensor("bias", bias)


def check_is_dense_tensor(name: str, value: object) -> None:
    """Raises TypeError or ValueError unless ``value`` is a dense tensor of a supported dtype."""
    if not isinstance(value, torch.Tensor):
        kind = type(value).__name__
        raise TypeError(f"per_step_dense: {name} must be a torch.Tensor; got {kind}")
    if value.is_nested:
        raise ValueError(f"per_step_dense: {name} must be a dense tensor; got a nested tensor")
    if value.dtype not in SUPPORTED_DTYPES:
        raise TypeError(
            f"per_step_dense: {name} must be float32, float64, float16 or bfloat16; "
            f"got {_dtype_name(value.dtype)}"
        )
    if value.layout is not torch.strided:
        layout = str(value.layout).removeprefix("torch.")
        raise ValueError(f"per_step_dense: {name} must be a dense tensor; got layout {layout}")


def check_are_alike(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Raises TypeError or ValueError unless all have one dtype and one device."""
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None:
            continue
        if tensor.dtype != x.dtype:
            raise TypeError(
                f"per_step_dense: {name} must have the dtype of x, {_dtype_name(x.dtype)}; "
                f"got {_dtype_name(tensor.dtype)}"
            )
        if tensor.device != x.device:
            raise ValueError(
                f"per_step_dense: {name} must be on the device of x, {x.device}; "
                f"got {tensor.device}"
            )


def check_shapes(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Raises ValueError unless x is (*, T, I), weight (T, I, O) and bias (T, O)."""
    check_has_steps(x)
    _check_parameters(weight, bias, x.size(-2), x.size(-1))


def check_has_steps(x: torch.Tensor) -> None:
    """Raises ValueError unless x is (*, T, I)."""
    if x.dim() < 2:
        raise ValueError(f"per_step_dense: x must be (*, T, I), at least 2-D; got {_shape(x)}")


def check_fits_packed(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Raises ValueError unless weight is (T, I, O) and bias (T, O), for rows of (R, I)."""
    _check_parameters(weight, bias, None, rows.size(-1))


def _check_parameters(
    weight: torch.Tensor, bias: torch.Tensor | None, steps: int | None, in_features: int
) -> None:
    """Of packed rows, ``steps`` is None: any number will do."""
    if weight.dim() != 3:
        raise ValueError(f"per_step_dense: weight must be (T, I, O), 3-D; got {_shape(weight)}")
    if steps is not None and weight.size(0) != steps:
        raise ValueError(
            f"per_step_dense: weight must be (T, I, O) with T = x.size(-2) = {steps}; "
            f"got {_shape(weight)}"
        )
    if weight.size(1) != in_features:
        raise ValueError(
            f"per_step_dense: weight must be (T, I, O) with I = x.size(-1) = {in_features}; "
            f"got {_shape(weight)}"
        )
    expected = (weight.size(0), weight.size(2))
    if bias is not None and bias.shape != expected:
        raise ValueError(f"per_step_dense: bias must be (T, O) = {expected}; got {_shape(bias)}")


def check_is_packed(data: object) -> None:
    """Raises TypeError or ValueError unless they are the rows of a packed sequence, (R, I)."""
    check_is_dense_tensor("x", data)
    assert isinstance(data, torch.Tensor)
    if data.dim() != 2:
        raise ValueError(f"per_step_dense: x.data must be (R, I), 2-D; got {_shape(data)}")


def check_lengths_fit(lengths: object, x: torch.Tensor) -> None:
    """Raises TypeError or ValueError unless there is an int64 on the CPU for every sample."""
    if not isinstance(lengths, torch.Tensor):
        raise TypeError(
            f"per_step_dense: lengths must be a torch.Tensor; got {type(lengths).__name__}"
        )
    check_has_steps(x)
    _check_are_sizes("lengths", lengths, x)
    if lengths.shape != x.shape[:-2]:
        raise ValueError(
            "per_step_dense: lengths must have the shape of x without (T, I), "
            f"{tuple(x.shape[:-2])}; got {_shape(lengths)}"
        )


def check_has_no_lengths(lengths: object | None) -> None:
    """Raises ValueError unless it is None, beside a packed sequence."""
    if lengths is not None:
        raise ValueError(
            "per_step_dense: lengths must be None with a PackedSequence, which has batch_sizes; "
            f"got {type(lengths).__name__}"
        )


def check_lengths(lengths: torch.Tensor, x: torch.Tensor) -> None:
    """Raises TypeError or ValueError unless lengths are those of the samples x, (*, T, I)."""
    check_lengths_fit(lengths, x)
    steps = x.size(-2)
    for sample, length in enumerate(lengths.flatten().tolist()):
        if not 0 <= length <= steps:
            raise ValueError(
                f"per_step_dense: lengths must lie between 0 and T = {steps}; "
                f"got {length} of sample {sample}"
            )


def check_batch_sizes(batch_sizes: torch.Tensor, rows: torch.Tensor, steps: int) -> None:
    """Raises TypeError or ValueError unless they are those of the rows in at most T steps."""
    _check_are_sizes("batch_sizes", batch_sizes, rows)
    if len(batch_sizes) > steps:
        raise ValueError(
            f"per_step_dense: x must have at most T = {steps} steps, as weight has; "
            f"got {len(batch_sizes)}"
        )
    for step, size in enumerate(batch_sizes.tolist()):
        if size < 0:
            raise ValueError(
                f"per_step_dense: batch_sizes must not be negative; got {size} at step {step}"
            )
    total = min(sum(batch_sizes.tolist()), 2**63 - 1)  # as far as the op counts; no wrapping around
    if total != len(rows):
        raise ValueError(
            f"per_step_dense: batch_sizes must add up to the {len(rows)} rows of the packed "
            f"sequence; got a sum of {total}"
        )


def _check_are_sizes(name: str, sizes: torch.Tensor, rows: torch.Tensor) -> None:
    if sizes.dtype != torch.int64:
        raise TypeError(f"per_step_dense: {name} must be int64; got {_dtype_name(sizes.dtype)}")
    if sizes.device.type != "cpu" and not (sizes.is_meta and rows.is_meta):
        raise ValueError(f"per_step_dense: {name} must be on the CPU; got {sizes.device}")


def check_is_no_dtensor(name: str, value: object) -> None:
    """Raises ValueError where it is one, which batches of different lengths do not take."""
    if is_dtensor(value):
        raise ValueError(
            f"per_step_dense: {name} must be no DTensor where samples differ in length; got one"
        )


def check_is_bool(name: str, value: object) -> None:
    """Raises TypeError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"per_step_dense: {name} must be a bool; got {type(value).__name__}")


def check_is_among(name: str, value: object, known: tuple[object, ...]) -> None:
    """Raises ValueError unless the value is one of those."""
    if not any(value == each and type(value) is type(each) for each in known):
        listed = ", ".join(map(repr, known[:-1]))
        raise ValueError(f"per_step_dense: {name} must be {listed} or {known[-1]!r}; got {value!r}")


def check_ends_with(
    name: str, tensor: torch.Tensor, expected: tuple[int, ...], in_words: str
) -> None:
    """Raises ValueError unless the last dimensions are those."""
    if tensor.shape[-len(expected) :] != expected:
        raise ValueError(
            f"per_step_dense: {name} must be (*, {', '.join(map(str, expected))}) = "
            f"{in_words}; got {tuple(tensor.shape)}"
        )


def checked_size(name: str, value: SupportsIndex, expected: str = "an int of at least 1") -> int:
    """Raises TypeError or ValueError unless ``value`` is an int of at least 1."""
    refusal = f"per_step_dense: {name} must be {expected}; got "
    if isinstance(value, bool):
        raise TypeError(refusal + "bool")
    try:
        size = operator.index(value)  # takes NumPy's integers, refuses floats
    except TypeError:
        raise TypeError(refusal + type(value).__name__) from None
    if size < 1:
        raise ValueError(refusal + str(size))
    return size


def checked_dtype(dtype: torch.dtype | None) -> torch.dtype:
    """Torch's default dtype where it is None; raises TypeError where it is not supported."""
    refusal = "per_step_dense: dtype must be None, float32, float64, float16 or bfloat16; got "
    if dtype is None:
        dtype = torch.get_default_dtype()
    if not isinstance(dtype, torch.dtype):
        raise TypeError(refusal + type(dtype).__name__)
    if dtype not in SUPPORTED_DTYPES:
        raise TypeError(refusal + str(dtype).removeprefix("torch."))
    return dtype


def is_dtensor(value: object) -> TypeGuard[DTensor]:
    """Whether it is one, without importing torch.distributed.tensor, which takes a while."""
    if type(value) in (torch.Tensor, torch.nn.Parameter):
        return False
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(value, module.DTensor)


def _shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
