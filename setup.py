"""Builds per_step_dense._C; all else that there is to say of the package is in pyproject.toml."""

from __future__ import annotations

import os
import re
import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent

try:
    import torch
except ImportError:
    raise SystemExit(
        "per_step_dense: the build needs the torch that the package will run with, and found none "
        "(pip builds in an empty environment unless told otherwise). Install torch, then run\n"
        "    pip install setuptools ninja\n"
        "    pip install --no-build-isolation ."
    ) from None

sys.path.insert(0, str(ROOT))  # a build backend does not look beside setup.py
from build_support.toolkit import Toolkit, ToolkitError, choose_toolkit  # noqa: E402
from build_support.version import local_version  # noqa: E402

VERSION = runpy.run_path(str(ROOT / "per_step_dense" / "_version.py"))["__version__"]

# Every GPU from sm_80 on through machine code or PTX; Hopper's own instructions need the "a".
DEFAULT_ARCHITECTURES = "8.0+PTX;9.0a"

# Choosing, planning and explaining need no CUDA, and are part of every build.
HOST_CODE = ("*.cpp", "cpu/*.cpp", "kernels/**/*.cpp")

WARNINGS = ["-Wall", "-Wextra", "-Wno-unused-parameter"]

# As g++'s -fsanitize takes them; unset in every build that is for use.
SANITIZERS = os.environ.get("PER_STEP_DENSE_SANITIZE", "")


def main() -> None:
    """Runs setup() with the extension this machine can build."""
    try:
        toolkit = choose_toolkit(torch.version.cuda)
        cudart = toolkit.runtime_library() if toolkit else None
    except ToolkitError as error:
        raise SystemExit(f"per_step_dense: {error}") from None
    if toolkit:
        os.environ["CUDA_HOME"] = str(toolkit.home)  # torch reads it on import of cpp_extension
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", DEFAULT_ARCHITECTURES)
        print(f"per_step_dense: building with the CUDA {toolkit.version} toolkit {toolkit.home}")
    else:
        print("per_step_dense: building without CUDA kernels")

    from torch.utils.cpp_extension import BuildExtension

    extension = cuda_extension(toolkit) if toolkit else cpu_extension()
    if cudart:
        extension.library_dirs.append(str(named_for_the_linker(cudart)))
    setup(
        version=version(toolkit and torch.version.cuda),
        ext_modules=[extension],
        cmdclass={"build_ext": BuildExtension, "sdist": SourceDistribution},
    )


def version(cuda: str | None) -> str:
    """The package's own, and where a wheel is built to be handed out, what that wheel is for.

    Not otherwise: pip refuses a source distribution whose build has another version than its name.
    """
    if os.environ.get("PER_STEP_DENSE_LOCAL_VERSION", "") in ("", "0"):
        return VERSION
    return f"{VERSION}+{local_version(torch.__version__, cuda)}"


class SourceDistribution(sdist):
    """Always of the package's own version, for it is built against any torch."""

    def run(self) -> None:
        """Before any other command asks for the version."""
        self.distribution.metadata.version = VERSION
        super().run()


def cpu_extension() -> Extension:
    """The ops without kernels of our own."""
    from torch.utils.cpp_extension import CppExtension

    return CppExtension(
        "per_step_dense._C",
        sources(*HOST_CODE, without="*_cuda.cpp"),
        include_dirs=[str(ROOT / "csrc")],
        extra_compile_args=host_flags(),
        extra_link_args=link_flags(),
    )


def cuda_extension(toolkit: Toolkit) -> Extension:
    """The ops and the kernels."""
    from torch.utils.cpp_extension import CUDAExtension

    macros = [
        ("PSD_WITH_CUDA", None),
        ("PSD_CUDA_VERSION", f'"{toolkit.version}"'),
        ("PSD_CUDA_ARCHITECTURES", f'"{architectures()}"'),
    ]
    return CUDAExtension(
        "per_step_dense._C",
        sources(*HOST_CODE, "kernels/**/*.cu"),
        include_dirs=[str(ROOT / "csrc")],
        define_macros=macros,
        extra_compile_args={"cxx": host_flags(), "nvcc": ["-O3", "-Xptxas=--warn-on-spills"]},
        extra_link_args=link_flags(),
    )


def host_flags() -> list[str]:
    """What C++ is compiled with."""
    if not SANITIZERS:
        # Python's own flags may ask for what a debugger needs, and it takes half of the time.
        return ["-O3", "-g0", *WARNINGS]
    return [
        *("-O0", "-g1", *WARNINGS),
        *(f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"),
        "-fno-wrapv",  # Python's own flags may have it on, and then no overflow is one
        "-D_GLIBCXX_ASSERTIONS",
    ]


def link_flags() -> list[str]:
    """What the module is linked with."""
    return [f"-fsanitize={SANITIZERS}"] if SANITIZERS else []


def architectures() -> str:
    """TORCH_CUDA_ARCH_LIST as torch understands it, names like "Hopper" in numbers: "8.0+PTX;9.0a".

    The module compares GPUs with it, and says it in errors.
    """
    from torch.utils.cpp_extension import _get_cuda_arch_flags

    found = re.findall(r"code=(sm|compute)_(\d+)(\d)([af]?)", " ".join(_get_cuda_arch_flags()))
    targets = [(kind, f"{major}.{minor}{suffix}") for kind, major, minor, suffix in found]
    return ";".join(
        f"{version}+PTX" if ("compute", version) in targets else version
        for kind, version in targets
        if kind == "sm"
    )


def sources(*patterns: str, without: str | None = None) -> list[str]:
    """The files under csrc/ that match, relative to this one as setuptools wants them."""
    found = [path for pattern in patterns for path in (ROOT / "csrc").glob(pattern)]
    kept = [path for path in found if without is None or not path.match(without)]
    return sorted(str(path.relative_to(ROOT)) for path in kept)


def named_for_the_linker(library: Path) -> Path:
    """A folder in which libcudart.so is a link to a library that has only its versioned name."""
    folder = ROOT / "build" / "cudart"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "libcudart.so"
    link.unlink(missing_ok=True)
    link.symlink_to(library)
    return folder


main()
