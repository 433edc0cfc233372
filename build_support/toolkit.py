"""Which CUDA toolkit compiles the kernels, if any.

A toolkit is used where an nvcc is found that fits torch; a GPU is never asked for, so a machine
without one builds the same package. ``PER_STEP_DENSE_CUDA=0`` builds without the kernels,
``PER_STEP_DENSE_CUDA=1`` fails where they cannot be built.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

SWITCH = "PER_STEP_DENSE_CUDA"


class ToolkitError(Exception):
    """The toolkit cannot be used; the text says what to do."""


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit: the folder that holds bin/nvcc, and its version such as "13.0"."""

    home: Path
    version: str

    def runtime_library(self) -> Path | None:
        """libcudart.so.N, where there is no libcudart.so for the linker to find (as in PyPI's
        toolkit); None where there is.
        """
        folders = [self.home / name for name in ("lib64", "lib")]
        if any((folder / "libcudart.so").exists() for folder in folders):
            return None
        found = [path for folder in folders for path in folder.glob("libcudart.so.*")]
        if not found:
            raise ToolkitError(f"there is no libcudart in the CUDA toolkit {self.home}")
        return min(found, key=lambda path: len(path.name))


def choose_toolkit(torch_cuda: str | None) -> Toolkit | None:
    """The toolkit to build with for a torch of CUDA version ``torch_cuda`` (None: CPU-only).

    Returns:
        None where the extension is to be built without CUDA.

    Raises:
        ToolkitError: the toolkit found does not fit torch, or CUDA is required and impossible.
    """
    switch = os.environ.get(SWITCH, "")
    if switch not in ("", "0", "1"):
        raise ToolkitError(f"{SWITCH} must be 0, 1 or unset; got {switch!r}")
    if switch == "0":
        return None
    if torch_cuda is None:
        if switch == "1":
            raise ToolkitError(
                f"{SWITCH}=1 asks for CUDA kernels, but the torch installed here is a CPU-only "
                "build. Install a CUDA build of torch first."
            )
        return None
    home = _find_home()
    if home is None:
        if switch == "1":
            raise ToolkitError(
                f"{SWITCH}=1 asks for CUDA kernels, but no nvcc was found. Put nvcc on the PATH, "
                'set CUDA_HOME, or install PyPI\'s toolkit (README, "Install").'
            )
        return None
    version = _version_of(home)
    if version.split(".")[0] != torch_cuda.split(".")[0]:
        raise ToolkitError(
            f"the CUDA toolkit in {home} is version {version}, but torch was built with CUDA "
            f"{torch_cuda}: their major versions must agree. Point CUDA_HOME to a CUDA "
            f"{torch_cuda.split('.')[0]} toolkit, or build without kernels by {SWITCH}=0."
        )
    return Toolkit(home, version)


def _find_home() -> Path | None:
    """CUDA_HOME, else the nvcc on the PATH, else PyPI's toolkit in this environment."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    if named:
        if not (Path(named) / "bin" / "nvcc").exists():
            raise ToolkitError(f"CUDA_HOME is {named}, but there is no bin/nvcc in it.")
        return Path(named)
    on_path = shutil.which("nvcc")
    if on_path:
        return _home_of(on_path)
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    in_environment = sorted(packages.glob("cu*/bin/nvcc"))
    return in_environment[-1].parents[1] if in_environment else None


def _home_of(nvcc: str) -> Path:
    """The toolkit that an nvcc belongs to, which may be a link or a script somewhere else."""
    plan = subprocess.run(
        [nvcc, "--dryrun", "-x", "cu", "-E", os.devnull],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    top = re.search(r"^#\$ TOP=(.+)$", plan, re.MULTILINE)
    if not top:
        raise ToolkitError(f"{nvcc} does not say where its toolkit is; set CUDA_HOME.")
    return Path(top.group(1).strip()).resolve()


def _version_of(home: Path) -> str:
    text = subprocess.run(
        [home / "bin" / "nvcc", "--version"], capture_output=True, text=True, check=True
    ).stdout
    release = re.search(r"release (\d+\.\d+)", text)
    if not release:
        raise ToolkitError(f"the nvcc in {home} does not say its version.")
    return release.group(1)
