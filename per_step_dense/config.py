"""What is installed here, and what computes a call."""

from __future__ import annotations

import platform

import torch
from torch import Tensor

from . import _ops
from ._version import __version__


def show_config() -> str:
    """Describes the installation: versions, how the kernels were built, which GPUs are visible.

    Returns:
        One fact a line, for people and for bug reports.
    """
    facts = {
        "per_step_dense": __version__,
        "python": platform.python_version(),
        "torch": f"{torch.__version__}, {_torch_cuda()}",
        **_compiled_module(),
        "GPUs": _gpus(),
        "float32 on the CPU": _kernels_for("cpu"),
        "float32 on CUDA": _kernels_for("cuda"),
    }
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts.items())


def kernel_name(x: Tensor) -> str:
    """Which implementation computes a call with this ``x``, and on which kind of device.

    Returns:
        Such as ``"simt (cuda)"``, ``"aten (cpu)"``, or ``"reference (cpu)"`` where there is no
        compiled module.
    """
    family = "reference" if _ops.compiled is None else _ops.compiled.kernel_family(x)
    return f"{family} ({x.device.type})"


def _torch_cuda() -> str:
    return "no CUDA" if torch.version.cuda is None else f"CUDA {torch.version.cuda}"


def _compiled_module() -> dict[str, str]:
    if _ops.compiled is None:
        return {"compiled module": f"missing: {_ops.missing_reason}"}
    info = _ops.compiled.build_info()
    kernels = (
        "none (built without CUDA)"
        if info["cuda"] is None
        else f"CUDA {info['cuda']}, architectures {info['cuda_architectures']}"
    )
    return {
        "compiled module": f"built with torch {info['torch']} and compiler {info['compiler']}",
        "CUDA kernels": kernels,
    }


def _gpus() -> str:
    if not torch.cuda.is_available():
        return "none visible"
    names = [
        f"{properties.name} (sm_{properties.major}{properties.minor})"
        for properties in map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    ]
    return ", ".join(names)


def _kernels_for(device_type: str) -> str:
    if _ops.compiled is None:
        return "reference (torch.einsum)"
    if device_type == "cuda" and _ops.has_cuda_kernels:
        return "simt"
    return "aten (batched products of ATen)"
