"""What the version of a build says beyond the package's own: the torch and the CUDA it is for."""

from __future__ import annotations

import re


def local_version(torch: str, cuda: str | None) -> str:
    """The part after the "+" (PEP 440's local version), such as "torch2.11.cu130".

    Args:
        torch: the version of the torch that is built against. Its patch releases share one binary
            interface, so two numbers are kept.
        cuda: the CUDA version of that torch, None where no kernels are built. Written as torch
            writes it in its own versions.
    """
    release = re.match(r"\d+\.\d+", torch)
    if not release:
        raise ValueError(f"torch's version should begin with two numbers; got {torch!r}")
    kernels = "cpu" if cuda is None else "cu" + "".join(cuda.split(".")[:2])
    return f"torch{release[0]}.{kernels}"
