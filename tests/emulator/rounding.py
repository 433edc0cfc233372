"""What tensor cores multiply."""

from __future__ import annotations

import torch


def rounded_to_tf32(values: torch.Tensor) -> torch.Tensor:
    """Of float32, to the nearest value with 10 bits behind the point, ties away from zero."""
    bits = values.contiguous().view(torch.int32)
    rounded = (bits + 0x1000) & ~0x1FFF
    return torch.where(values.isfinite(), rounded.view(torch.float32), values)
