"""Other libraries' layers and weights, read as those of a dense layer per step."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Parameters:
    """Of a layer to be; they may share memory with what they were read from."""

    weight: Tensor  # (*steps, I, O)
    bias: Tensor | None  # (*steps, O)
    is_weight_trained: bool = True
    """What becomes of ``requires_grad``."""
    is_bias_trained: bool = True
