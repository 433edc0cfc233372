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
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .sources import (
    DRIVER_SOURCE,
    EMULATOR,
    INCLUDE_FOLDERS,
    ONE_TILE,
    REPOSITORY,
    STANDARD_HEADERS,
    Instantiation,
    SourceTree,
)

BUILD_FOLDER = REPOSITORY / "build" / "emulator"
KEEP_UNUSED_SECONDS = 3 * 24 * 3600

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


class Unit(NamedTuple):
    """What the compiler is called for once."""

    tree: SourceTree
    source: Path
    flags: tuple[str, ...]


def build_library(variant: Variant | None = None) -> Path:
    """The shared library of this checkout's kernels, compiled where it is not there yet."""
    variant = variant or Variant.from_environment()
    if variant is Variant.THREAD:
        raise BuildError("ThreadSanitizer needs a program of its own: build_driver(Variant.THREAD)")
    tree = _checkout()
    objects = _compile_all(
        *_units(tree, tree.runtime_sources(), variant.runtime_flags),
        *_units(tree, tree.sources(), variant.kernel_flags),
    )
    return _link_library(objects, variant.link_flags)


def build_mutant(root: Path, run: Collection[Instantiation] | None = None) -> Path:
    """The shared library of a mutated copy of the sources.

    `run` is what will run of the kernels of tiles. The other ones are this checkout's.
    """
    tree = SourceTree(root)
    flags = _with_standard_headers(Variant.PLAIN.mutant_flags)
    kernels = _units(tree, tree.sources(), flags) if run is None else _narrowed(tree, flags, run)
    runtime = _units(tree, tree.runtime_sources(), Variant.PLAIN.runtime_flags)
    return _link_library(_compile_all(*runtime, *kernels), ("-Wl,--strip-debug",))


def build_driver(variant: Variant) -> Path:
    """The stand-alone program, see driver.cpp."""
    tree = _checkout()
    runtime = _compile_all(*_units(tree, tree.runtime_sources(), variant.runtime_flags))
    if variant is Variant.THREAD:
        runtime = [_hide_from_thread_sanitizer(runtime)]
    sources = (*tree.sources(), REPOSITORY / DRIVER_SOURCE)
    kernels = _compile_all(*_units(tree, sources, variant.kernel_flags))
    return _link([*runtime, *kernels], f"driver-{variant.value}", "", variant.link_flags)


@functools.cache
def _checkout() -> SourceTree:
    return SourceTree()


def _units(tree: SourceTree, sources: Sequence[Path], flags: tuple[str, ...]) -> list[Unit]:
    return [Unit(tree, source, flags) for source in sources]


def _narrowed(
    tree: SourceTree, flags: tuple[str, ...], run: Collection[Instantiation]
) -> list[Unit]:
    """Of what launches tiles, that which will run. Where that is one tile, no other is compiled."""
    tiles = {instantiation.tile for instantiation in run}
    launchers = tree
    launcher_flags = flags
    if len(tiles) == 1:
        launchers = SourceTree(tree.root, (ONE_TILE, *INCLUDE_FOLDERS))
        launcher_flags = (*flags, f"-DEMULATOR_TILE={tiles.pop()}")
    compiled: list[Unit] = []
    left_as_it_is: list[Unit] = []
    for source in tree.sources():
        if not tree.launches_tiles(source):
            compiled.append(Unit(tree, source, flags))
        elif any(instantiation.may_be_in(source) for instantiation in run):
            compiled.append(Unit(launchers, source, launcher_flags))
        else:
            source = REPOSITORY / source.relative_to(tree.root)
            left_as_it_is.append(Unit(_checkout(), source, Variant.PLAIN.kernel_flags))
    # Of an inline function that several objects have, the first one's is linked: the mutant's.
    return [*compiled, *left_as_it_is]


def _with_standard_headers(flags: tuple[str, ...]) -> tuple[str, ...]:
    """The flags that have them included in front, where they were precompiled by the same flags."""
    header = REPOSITORY / STANDARD_HEADERS
    flags_of_both = (*COMMON_FLAGS, *flags)
    precompiled = _make(
        _artifact(f"{header.stem}-{_digest(flags_of_both, header.read_bytes())}.h.gch"),
        lambda out: ["g++", *flags_of_both, "-x", "c++-header", str(header), "-o", out],
    )
    # There is no such header beside it: what g++ cannot take the precompiled one for, it refuses.
    return (*flags, "-include", str(precompiled.with_suffix("")))


def _compile_all(*units: Unit) -> list[Path]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_compile, units))


def _compile(unit: Unit) -> Path:
    tree, source = unit.tree, unit.source
    flags = (*COMMON_FLAGS, *unit.flags)
    target = _artifact(f"{source.stem}-{_digest(flags, tree.digest(source))}.o")
    language = ["-x", "c++"] if source.suffix == ".cu" else []
    include_flags = [f"-I{folder}" for folder in tree.include_folders]
    # Messages name files from the root on, and equal text gives equal objects in every tree.
    relocate = f"-ffile-prefix-map={tree.root}/="
    # A planted fault may orphan a variable, and that is all right.
    warnings = WARNINGS if tree.root == REPOSITORY else ("-w",)
    return _make(
        target,
        lambda out: [
            *("g++", *flags, *warnings, relocate, *include_flags, *language, "-c", str(source)),
            *("-o", out),
        ],
    )


def _digest(flags: Sequence[str], content: bytes) -> str:
    """Of what the compiler is called with, and its version."""
    digest = hashlib.sha256(repr((_compiler_version(), tuple(flags))).encode())
    digest.update(content)
    return digest.hexdigest()[:16]


def _link_library(objects: Sequence[Path], flags: Sequence[str]) -> Path:
    return _link(objects, "libemulator", ".so", ("-shared", "-Wl,-Bsymbolic", *flags))


def _link(objects: Sequence[Path], stem: str, suffix: str, flags: Sequence[str]) -> Path:
    names = " ".join(item.name for item in objects)
    target = _artifact(f"{stem}-{_digest(flags, names.encode())}{suffix}")
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


def _hide_from_thread_sanitizer(runtime: Sequence[Path]) -> Path:
    """One object of the runtime whose library calls ThreadSanitizer does not see.

    Everything but the runtime's own names becomes local, or the linker might take an instrumented
    copy of a template that both sides use.
    """
    source = REPOSITORY / EMULATOR / "runtime/unseen_memory.c"
    unseen = _make(
        _artifact(f"unseen_memory-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.o"),
        lambda out: [
            *("gcc", "-O2", "-fPIC", "-fno-builtin", "-Wall", "-c", str(source), "-o", out)
        ],
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
