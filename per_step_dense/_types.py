"""Types that several modules share."""

from __future__ import annotations

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"]
