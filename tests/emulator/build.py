"""Compiles the kernels' own source, with the emulator's headers first, by plain g++.

Objects are cached by the text that went into them: everything a source includes from the project,
the flags and the compiler. A mutated source tree therefore recompiles only what the mutation
reaches.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import functools
import hashlib
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BUILD_FOLDER = REPOSITORY / "build" / "emulator"
KEEP_UNUSED_SECONDS = 3 * 24 * 3600

# Relative to a source tree. What a mutated tree may change is compiled from that tree.
EMULATOR = Path("tests/emulator")
INCLUDE_FOLDERS = (EMULATOR / "include", EMULATOR, Path("csrc"))
# Globs, not a list by hand: what torch's build takes in is executed here too.
SOURCE_PATTERNS = (
    "csrc/kernels/**/*.cu",
    "csrc/kernels/**/*.cpp",
    "csrc/choose_kernel.cpp",
    "csrc/choose_kernel_cuda.cpp",
    "csrc/cost_*.cpp",
    "csrc/architecture.cpp",
    "csrc/problem_text.cpp",
    f"{EMULATOR}/kernels/*.cu",
    f"{EMULATOR}/*.cpp",
)
DRIVER_SOURCE = EMULATOR / "driver.cpp"

COMMON_FLAGS = (
    "-std=c++17",
    "-g1",
    "-fPIC",
    # As nvcc contracts by default: -std=c++17 alone would turn it off, and so would -O1.
    "-ffp-contract=fast",
    "-fexpensive-optimizations",
    # A local that is read before it is written is garbage and not, by luck, zero.
    "-ftrivial-auto-var-init=pattern",
    # Several libraries of this kind are loaded side by side, each with its own state.
    "-fno-gnu-unique",
)

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-psabi")


class Variant(enum.Enum):
    """Which sanitizers the code is built with."""

    PLAIN = "plain"
    ADDRESS = "address"
    THREAD = "thread"

    @property
    def kernel_flags(self) -> tuple[str, ...]:
        machine = ("-march=x86-64-v3",) if platform.machine() == "x86_64" else ()
        if self is Variant.ADDRESS:
            return (
                *machine,
                "-O1",
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=undefined",
            )
        if self is Variant.THREAD:
            return (*machine, "-O1", "-fsanitize=thread")
        return (*machine, "-O2")

    @property
    def mutant_flags(self) -> tuple[str, ...]:
        """A mutant runs once and briefly: what counts is how soon it is compiled."""
        return (*(flag for flag in self.kernel_flags if not flag.startswith("-O")), "-O0")

    @property
    def runtime_flags(self) -> tuple[str, ...]:
        """The runtime's bookkeeping is not the kernels' doing: no race is looked for in it."""
        if self is Variant.THREAD:
            return Variant.PLAIN.kernel_flags
        return self.kernel_flags

    @property
    def link_flags(self) -> tuple[str, ...]:
        return tuple(flag for flag in self.kernel_flags if flag.startswith("-fsanitize"))

    @staticmethod
    def from_environment() -> Variant:
        """The variant that PSD_EMULATOR_SANITIZER names; without it, the plain one."""
        return Variant(os.environ.get("PSD_EMULATOR_SANITIZER", "plain"))


class BuildError(RuntimeError):
    """The compiler's or linker's complaint."""


def build_library(root: Path = REPOSITORY, variant: Variant | None = None) -> Path:
    """The shared library of the kernels under `root`, compiled where it is not there yet."""
    variant = variant or Variant.from_environment()
    if variant is Variant.THREAD:
        raise BuildError("ThreadSanitizer needs a program of its own: build_driver(Variant.THREAD)")
    objects = _objects(root, variant, _sources(root))
    flags = ("-shared", "-Wl,-Bsymbolic", *variant.link_flags)
    return _link(objects, "libemulator", ".so", flags)


def build_driver(variant: Variant, root: Path = REPOSITORY) -> Path:
    """The stand-alone program, see driver.cpp."""
    objects = _objects(root, variant, [*_sources(root), root / DRIVER_SOURCE])
    return _link(objects, f"driver-{variant.value}", "", variant.link_flags)


def _sources(root: Path) -> list[Path]:
    """The kernels, the host code they need and the bridge."""
    found = {path for pattern in SOURCE_PATTERNS for path in root.glob(pattern)}
    return sorted(found - {root / DRIVER_SOURCE})


def _objects(root: Path, variant: Variant, sources: Sequence[Path]) -> list[Path]:
    runtime_sources = sorted((root / EMULATOR / "runtime").glob("*.cpp"))
    kernel_flags = variant.kernel_flags if root == REPOSITORY else variant.mutant_flags
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compile_runtime = functools.partial(_compile, root, flags=variant.runtime_flags)
        compile_kernel = functools.partial(_compile, root, flags=kernel_flags)
        runtime = pool.map(compile_runtime, runtime_sources)
        kernels = pool.map(compile_kernel, sources)
    if variant is Variant.THREAD:
        return [_hide_from_thread_sanitizer(root, list(runtime)), *kernels]
    return [*runtime, *kernels]


def _compile(root: Path, source: Path, flags: Sequence[str]) -> Path:
    flags = (*COMMON_FLAGS, *flags)
    includes = [root / folder for folder in INCLUDE_FOLDERS]
    digest = hashlib.sha256(repr((_compiler_version(), flags)).encode())
    for file in sorted(_project_files(source, includes)):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    target = _artifact(f"{source.stem}-{digest.hexdigest()[:16]}.o")
    language = ["-x", "c++"] if source.suffix == ".cu" else []
    include_flags = [f"-I{folder}" for folder in includes]
    # Messages name files from the root on, and equal text gives equal objects in every tree.
    relocate = f"-ffile-prefix-map={root}/="
    # A planted fault may orphan a variable, and that is all right.
    warnings = WARNINGS if root == REPOSITORY else ("-w",)
    return _make(
        target,
        lambda out: [
            *("g++", *flags, *warnings, relocate, *include_flags, *language, "-c", str(source)),
            *("-o", out),
        ],
    )


def _link(objects: Sequence[Path], stem: str, suffix: str, flags: Sequence[str]) -> Path:
    names = [item.name for item in objects]
    digest = hashlib.sha256(repr((names, flags, _compiler_version())).encode()).hexdigest()[:16]
    target = _artifact(f"{stem}-{digest}{suffix}")
    return _make(target, lambda out: ["g++", *flags, *map(str, objects), "-o", out])


# What the runtime calls in libc and libstdc++ that ThreadSanitizer would intercept.
_INTERCEPTED = {
    "memcpy": "emulator_unseen_memcpy",
    "memmove": "emulator_unseen_memmove",
    "memset": "emulator_unseen_memset",
    "memcmp": "emulator_unseen_memcmp",
    "strcmp": "emulator_unseen_strcmp",
    "_Znwm": "emulator_unseen_new",
    "_ZdlPv": "emulator_unseen_delete",
    "_ZdlPvm": "emulator_unseen_sized_delete",
    "_ZnwmSt11align_val_t": "emulator_unseen_aligned_new",
    "_ZdlPvmSt11align_val_t": "emulator_unseen_aligned_delete",
}


def _hide_from_thread_sanitizer(root: Path, runtime: Sequence[Path]) -> Path:
    """One object of the runtime whose library calls ThreadSanitizer does not see.

    Everything but the runtime's own names becomes local, or the linker might take an instrumented
    copy of a template that both sides use.
    """
    unseen = _artifact(
        "unseen_memory-"
        + hashlib.sha256((root / EMULATOR / "runtime/unseen_memory.c").read_bytes()).hexdigest()[
            :16
        ]
        + ".o"
    )
    source = str(root / EMULATOR / "runtime/unseen_memory.c")
    _make(
        unseen,
        lambda out: ["gcc", "-O2", "-fPIC", "-fno-builtin", "-Wall", "-c", source, "-o", out],
    )
    # Of std's templates of the runtime's types, each side has its own.
    kept = ("!_ZNSt*", "!_ZNKSt*", "!_ZSt*", "*emulator*", "*cudaGetDriver*")
    names = repr(([item.name for item in runtime], sorted(_INTERCEPTED.items()), kept, unseen.name))
    stem = "runtime-" + hashlib.sha256(names.encode()).hexdigest()[:16]
    joined = _make(
        _artifact(f"{stem}-joined.o"),
        lambda out: ["ld", "-r", "--force-group-allocation", *map(str, runtime), "-o", out],
    )
    redirect = [f"--redefine-sym={old}={new}" for old, new in _INTERCEPTED.items()]
    localise = ["--wildcard", *(f"--keep-global-symbol={pattern}" for pattern in kept)]
    hidden = _make(
        _artifact(f"{stem}-hidden.o"),
        lambda out: ["objcopy", *redirect, *localise, str(joined), out],
    )
    return _make(
        _artifact(f"{stem}.o"),
        lambda out: ["ld", "-r", str(hidden), str(unseen), "-o", out],
    )


_INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


def _project_files(source: Path, include_folders: Sequence[Path]) -> set[Path]:
    """The source and all that it includes, directly or not, from the project."""
    reached: set[Path] = set()
    pending = [source]
    while pending:
        file = pending.pop()
        if file in reached:
            continue
        reached.add(file)
        for name in _INCLUDE.findall(file.read_text()):
            pending.extend(_resolve(name, file, include_folders))
    return reached


def _resolve(name: str, includer: Path, include_folders: Sequence[Path]) -> Iterator[Path]:
    for folder in (includer.parent, *include_folders):
        if (folder / name).is_file():
            yield folder / name
            return


@functools.cache
def _compiler_version() -> str:
    return subprocess.run(
        ["g++", "--version"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[0]


def _artifact(name: str) -> Path:
    return _build_folder() / name


@functools.cache
def _build_folder() -> Path:
    """The folder, rid of what nobody has used for long: mutants of sources that have changed."""
    BUILD_FOLDER.mkdir(parents=True, exist_ok=True)
    for file in BUILD_FOLDER.iterdir():
        if file.is_file() and time.time() - file.stat().st_mtime > KEEP_UNUSED_SECONDS:
            file.unlink(missing_ok=True)
    return BUILD_FOLDER


def _make(target: Path, command: Callable[[str], list[str]]) -> Path:
    """Runs the command unless its target exists."""
    with _nobody_else_making(target):
        if target.exists():
            os.utime(target)
            return target
        with tempfile.TemporaryDirectory(dir=BUILD_FOLDER) as folder:
            out = Path(folder) / target.name
            done = subprocess.run(command(str(out)), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BuildError(f"{' '.join(done.args)}\n{done.stderr}")
            out.replace(target)
    return target


@contextlib.contextmanager
def _nobody_else_making(target: Path) -> Iterator[None]:
    """Test processes start together and want the same objects: one compiles, the others wait."""
    locks = target.parent / "locks"
    locks.mkdir(exist_ok=True)
    lock = locks / target.name
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # whoever waits for it finds the target
