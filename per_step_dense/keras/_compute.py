"""What the layer computes: through the op on the torch backend, else through ``keras.ops``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import torch
from keras import ops
from torch import Tensor

from .._conversion.keras_activations import is_ours, ours
from .._conversion.packing import Packing
from .._geometry import Geometry
from .._windows import windows_of
from ..functional import per_step_dense

Compute = Callable[[Any, Any, Any, Callable[[Any], Any]], Any]
"""Of inputs, kernel and bias, all as the layer has them, and its activation."""


def prepare(geometry: Geometry) -> Compute:
    """The function for the backend at hand."""
    return _Torch(geometry) if keras.config.backend() == "torch" else _Ops(geometry)


class _Torch:
    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._packing = Packing(geometry)

    def __call__(
        self, inputs: Tensor, kernel: Any, bias: Any, activation: Callable[[Any], Any]
    ) -> Tensor:
        geometry = self._geometry
        x = inputs.mT if geometry.is_channels_first else inputs  # (B, L, I)
        if any(geometry.pads):
            x = torch.nn.functional.pad(x, (0, 0, *geometry.pads))
        windows = windows_of(x, geometry.kernel_size, geometry.stride)  # (B, T, k * I)
        weight = self._packing.weight(ops.convert_to_tensor(kernel))  # (T, k * I, O)
        if bias is not None:
            bias = self._packing.bias(ops.convert_to_tensor(bias))  # (T, O)
        is_fused = is_ours(activation)
        fused = ours(activation) if is_fused else None
        y = per_step_dense(windows, weight, bias, activation=fused)  # (B, T, O)
        if geometry.is_channels_first:
            y = y.mT
        return y if is_fused else activation(y)


class _Ops:
    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry

    def __call__(
        self, inputs: Any, kernel: Any, bias: Any, activation: Callable[[Any], Any]
    ) -> Any:
        geometry = self._geometry
        x = ops.swapaxes(inputs, 1, 2) if geometry.is_channels_first else inputs  # (B, L, I)
        if any(geometry.pads):
            x = ops.pad(x, ((0, 0), geometry.pads, (0, 0)))
        span = (geometry.out_steps - 1) * geometry.stride + 1
        parts = [x[:, j : j + span : geometry.stride] for j in range(geometry.kernel_size)]
        windows = ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]  # (B, T, k * I)
        y = ops.einsum("bti,tio->bto", windows, self._packed(ops.convert_to_tensor(kernel)))
        if geometry.is_channels_first:
            y = ops.swapaxes(y, 1, 2)
        if bias is not None:
            y = ops.add(y, ops.reshape(bias, y.shape[1:]))
        return activation(y)

    def _packed(self, kernel: Any) -> Any:
        if self._geometry.is_packed:
            return kernel
        return ops.take(ops.reshape(kernel, (-1,)), self._geometry.positions(), axis=0)
