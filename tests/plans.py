"""Plans of layers that are nowhere, by every family of kernels."""

from __future__ import annotations

import torch
from torch import Tensor

import per_step_dense as psd

ARCHITECTURES = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
F32, BF16 = torch.float32, torch.bfloat16
DTYPE_OF_KERNEL = {"simt": F32, "tiny": F32, "sm80": BF16}  # those that take any sizes


def meta(*shape: int, dtype: torch.dtype = F32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def plan_of(b: int, t: int, i: int, o: int, arch: str = "sm_90", kernel: str = "auto") -> psd.Plan:
    dtype = DTYPE_OF_KERNEL.get(kernel, F32)
    shapes = (b, t, i), (t, i, o), (t, o)
    with psd.use_kernel(kernel):
        return psd.explain(*(meta(*shape, dtype=dtype) for shape in shapes), arch=arch)
