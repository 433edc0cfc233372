"""What the tests call, and with what.

The arguments lie in memory in every way there is, among NaN that must not be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import per_step_dense as psd

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
B, T, I, O = 6, 5, 7, 9  # noqa: E741

GUARD = 128  # elements of NaN on either side of every tensor; keeps its alignment


Layer = Callable[..., Tensor]


def bare_op(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str | None = None
) -> Tensor:
    """The op, with the function's signature."""
    name = "none" if activation is None else activation
    return torch.ops.per_step_dense.forward(x, weight, bias, name)


LAYERS: dict[str, Layer] = {
    "function": psd.per_step_dense,
    "op": bare_op,
    "reference": psd.reference.per_step_dense,
}


class Arguments(NamedTuple):
    """What every implementation of the op takes."""

    x: Tensor  # (*, T, I)
    weight: Tensor  # (T, I, O)
    bias: Tensor | None  # (T, O)


class New:
    """Makes random tensors of a dtype on a device."""

    def __init__(self, dtype: torch.dtype, device: torch.device | str) -> None:
        self.options = {"dtype": dtype, "device": device}

    def __call__(self, *shape: int, offset: int = 0) -> Tensor:
        """A contiguous tensor; with an offset its first element is not aligned."""
        values = torch.randn(shape, **self.options)
        buffer = self.nan(2 * GUARD + values.numel() + offset)
        tensor = buffer[GUARD + offset : GUARD + offset + values.numel()].view(shape)
        return tensor.copy_(values)

    def nan(self, *shape: int) -> Tensor:
        return torch.full(shape, torch.nan, **self.options)

    def like(self, view: Tensor) -> Tensor:
        """Fills a view of something larger."""
        return view.copy_(torch.randn(view.shape, **self.options))


Override = dict[str, Tensor | None]

LAYOUTS: dict[str, Callable[[New], Override]] = {
    "contiguous": lambda new: {},
    "no_bias": lambda new: {"bias": None},
    "steps_first_x": lambda new: {"x": new(T, B, I).transpose(0, 1)},
    "features_first_x": lambda new: {"x": new(B, I, T).transpose(1, 2)},
    "strided_x": lambda new: {"x": new.like(new.nan(B + 2, 3 * T, 2 * I)[1:-1, 1::3, ::2])},
    "batch_expanded_x": lambda new: {"x": new(T, I).expand(B, T, I)},
    "steps_expanded_x": lambda new: {"x": new(B, 1, I).expand(B, T, I)},
    "features_expanded_x": lambda new: {"x": new(B, T, 1).expand(B, T, I)},
    "windows_x": lambda new: {"x": new(B, T + I - 1).unfold(1, I, 1)},
    "windows_with_channels_x": lambda new: {
        "x": new(B, 2 * T + 5, 1).as_strided((B, T, I), (2 * T + 5, 2, 1), GUARD)
    },
    "misaligned_x": lambda new: {"x": new(B, T, I, offset=1)},
    "misaligned": lambda new: {
        "x": new(B, T, I, offset=1),
        "weight": new(T, I, O, offset=1),
        "bias": new(T, O, offset=1),
    },
    "no_batch_dim": lambda new: {"x": new(T, I)},
    "two_batch_dims": lambda new: {"x": new(2, 3, T, I)},
    "swapped_batch_dims": lambda new: {"x": new(3, 2, T, I).transpose(0, 1)},
    "expanded_batch_dim_of_three": lambda new: {"x": new(2, 1, 3, T, I).expand(2, 4, 3, T, I)},
    "transposed_weight": lambda new: {"weight": new(T, O, I).transpose(1, 2)},
    "steps_last_weight": lambda new: {"weight": new(I, O, T).permute(2, 0, 1)},
    "strided_weight": lambda new: {
        "weight": new.like(new.nan(2 * T, I + 2, 2 * O)[1::2, 1:-1, ::2])
    },
    "expanded_weight": lambda new: {"weight": new(I, O).expand(T, I, O)},
    "scalar_weight": lambda new: {"weight": new(1, 1, 1).expand(T, I, O)},
    "transposed_bias": lambda new: {"bias": new(O, T).t()},
    "expanded_bias": lambda new: {"bias": new(O).expand(T, O)},
    "scalar_bias": lambda new: {"bias": new(1, 1).expand(T, O)},
}


def arguments(
    layout: str, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Arguments:
    new = New(dtype, device)
    default = {"x": new(B, T, I), "weight": new(T, I, O), "bias": new(T, O)}
    return Arguments(**{**default, **LAYOUTS[layout](new)})


def of_sizes(
    b: int, t: int, i: int, o: int, dtype: torch.dtype, device: torch.device | str
) -> Arguments:
    new = New(dtype, device)
    return Arguments(new(b, t, i), new(t, i, o), new(t, o))


def small_integers(
    b: int, t: int, i: int, o: int, dtype: torch.dtype, device: torch.device | str, largest: int = 3
) -> Arguments:
    """Sums of these are exact in every dtype while they stay below 256."""

    def new(*shape: int) -> Tensor:
        return torch.randint(-largest, largest + 1, shape, device=device).to(dtype)

    return Arguments(new(b, t, i), new(t, i, o), new(t, o))


def dtype_id(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


class Model(torch.nn.Module):
    """A layer and the parameters it uses."""

    def __init__(self, layer: Layer, args: Arguments, activation: str) -> None:
        super().__init__()
        self.layer = layer
        self.activation = activation
        self.weight = torch.nn.Parameter(args.weight)
        self.bias = torch.nn.Parameter(args.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, self.weight, self.bias, activation=self.activation)
