"""The sources that are compiled, and what they include of each other."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]

# Relative to a source tree. What a mutated tree may change is compiled from that tree.
EMULATOR = Path("tests/emulator")
INCLUDE_FOLDERS = (EMULATOR / "include", EMULATOR, Path("csrc"))
ONE_TILE = EMULATOR / "one_tile"
DRIVER_SOURCE = EMULATOR / "driver.cpp"
STANDARD_HEADERS = EMULATOR / "standard_headers.h"
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

_INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)


class Instantiation(NamedTuple):
    """The kernels of one tile of a family for one element type, by its name in structs.TYPES."""

    family: str
    type: str
    tile: int

    def may_be_in(self, source: Path) -> bool:
        """Where a family's types have sources of their own, these are named after them."""
        own = source.with_name(f"{self.type}.cu")
        return source.parent.name == self.family and (source == own or not own.exists())


class SourceTree:
    """Files that do not change as long as this lives: each is read once.

    Attributes:
        root: The repository or a copy of its sources.
        include_folders: Where headers are looked for, the first one first.
    """

    def __init__(
        self, root: Path = REPOSITORY, include_folders: Sequence[Path] = INCLUDE_FOLDERS
    ) -> None:
        self.root = root
        self.include_folders = tuple(root / folder for folder in include_folders)
        self._included: dict[Path, tuple[Path, ...]] = {}
        self._digests: dict[Path, bytes] = {}
        self._found: dict[str, Path | None] = {}

    def sources(self) -> list[Path]:
        """The kernels, the host code they need and the bridge."""
        found = {path for pattern in SOURCE_PATTERNS for path in self.root.glob(pattern)}
        return sorted(found - {self.root / DRIVER_SOURCE})

    def runtime_sources(self) -> list[Path]:
        return sorted((self.root / EMULATOR / "runtime").glob("*.cpp"))

    def launches_tiles(self, source: Path) -> bool:
        """Whether it launches the kernels of tiles, and so has to be compiled with each of them."""
        headers = self._files(source)
        return all(self._find(f"kernels/{name}") in headers for name in ("launch.cuh", "tile.h"))

    def digest(self, source: Path) -> bytes:
        """Of the source and all that it includes, directly or not, from the project."""
        digest = hashlib.sha256()
        for file in sorted(self._files(source)):
            digest.update(str(file.relative_to(self.root)).encode() + b"\0" + self._digests[file])
        return digest.digest()

    def _files(self, source: Path) -> set[Path]:
        reached: set[Path] = set()
        pending = [source]
        while pending:
            file = pending.pop()
            if file not in reached:
                reached.add(file)
                pending.extend(self._includes(file))
        return reached

    def _includes(self, file: Path) -> tuple[Path, ...]:
        if file not in self._included:
            text = file.read_text()
            self._digests[file] = hashlib.sha256(text.encode()).digest()
            found = (self._beside(file, name) for name in _INCLUDE.findall(text))
            self._included[file] = tuple(path for path in found if path is not None)
        return self._included[file]

    def _beside(self, file: Path, name: str) -> Path | None:
        """What a file includes by this name."""
        sibling = os.path.join(file.parent, name)
        return Path(sibling) if os.path.isfile(sibling) else self._find(name)

    def _find(self, name: str) -> Path | None:
        if name not in self._found:
            paths = (os.path.join(folder, name) for folder in self.include_folders)
            self._found[name] = next((Path(path) for path in paths if os.path.isfile(path)), None)
        return self._found[name]
