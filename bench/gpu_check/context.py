"""Whether the process can still use its GPU."""

from __future__ import annotations

import torch


def is_broken() -> bool:
    """Whether an error, such as an access beyond memory, has left the context unusable for good."""
    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False
