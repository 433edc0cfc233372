"""Types that several modules share."""

from __future__ import annotations

from typing import Literal

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid"]

# Keras's
DataFormat = Literal["channels_last", "channels_first"]
Padding = Literal["valid", "same"]
Implementation = Literal[1, 2, 3]
