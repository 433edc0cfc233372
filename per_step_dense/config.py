"""What is installed here, and what computes a call."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

import torch
from torch import Tensor

from . import _ops
from ._version import __version__
from .kernels import in_force, use_kernel
from .plan import explain

_ATEN: Final = "aten (batched products of ATen)"
_REFERENCE: Final = "reference (torch.einsum)"


def show_config() -> str:
    """Describes the installation: versions, how the kernels were built, which GPUs are visible.

    Returns:
        One fact a line, for people and for bug reports.
    """
    facts = {
        "per_step_dense": __version__,
        "installed as": _installed_as(),
        "python": platform.python_version(),
        "torch": f"{torch.__version__}, {_torch_cuda()}",
        **_compiled_module(),
        "GPUs": _gpus(),
        "on the CPU": _on_cpu(),
        "float32 on CUDA": _on_cuda("simt, tiny or aten, by the chooser's estimate"),
        "tf32 and other dtypes on CUDA": _on_cuda(
            "simt, tiny, sm80, sm90 or aten, by the chooser's estimate"
        ),
        "kernel in force": in_force.name,
    }
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {fact}" for name, fact in facts.items())


def kernel_name(x: Tensor, weight: Tensor) -> str:
    """Which family of kernels computes a call, and on which kind of device.

    Returns:
        Such as ``"simt (cuda)"``, ``"avx2 (cpu)"``, or ``"reference (cpu)"`` where there is no
        compiled module.
    """
    return f"{explain(x, weight).kernel} ({x.device.type})"


def _installed_as() -> str:
    """The version with what a wheel is for, such as "0.1.0+torch2.11.cu130"."""
    try:
        return metadata.version("per_step_dense")
    except metadata.PackageNotFoundError:
        return "nothing: imported from a folder"


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


def _on_cpu() -> str:
    if _ops.compiled is None:
        return _REFERENCE
    one = torch.ones(1, 1, 1, device="cpu")
    with use_kernel("auto"):  # whatever is in force, which may be for GPUs only
        kernel = explain(one, one).kernel
    return {"aten": _ATEN, "avx2": f"avx2 for float32, else {_ATEN}"}.get(kernel, kernel)


def _on_cuda(with_kernels: str) -> str:
    if _ops.compiled is None:
        return _REFERENCE
    return with_kernels if _ops.has_cuda_kernels else _ATEN
