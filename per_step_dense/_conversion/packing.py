"""From a kernel and bias as Keras 2's layer keeps them to those of a dense layer per step."""

from __future__ import annotations

import torch
from torch import Tensor

from .._geometry import Geometry


class Packing:
    """Of one geometry; differentiable, and no copy where the layer keeps them so itself."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self._positions: dict[torch.device, Tensor] = {}

    def weight(self, kernel: Tensor) -> Tensor:
        """The weights, (T, k * I, O), of a kernel of the geometry's shape."""
        if self._geometry.is_packed:
            return kernel
        if kernel.device not in self._positions:
            positions = torch.from_numpy(self._geometry.positions())
            self._positions[kernel.device] = positions.to(kernel.device)
        return kernel.flatten()[self._positions[kernel.device]]

    def bias(self, bias: Tensor) -> Tensor:
        """The biases (T, O) of the layer's, which has that shape but not always that order."""
        if not self._geometry.is_channels_first:
            return bias
        return bias.reshape(bias.shape[::-1]).mT  # Keras's own: reshaped, not transposed
