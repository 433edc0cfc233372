"""Where a check stands: a folder for each state of the code on each GPU, torch and CUDA."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..record import Machine, write
from .journal import Journal
from .program import ROOT
from .record import slug

_FOLDERS: Final = ("build_support", "csrc", "per_step_dense", "tests", "bench")
_SUFFIXES: Final = (".py", ".so", ".cpp", ".h", ".cu", ".cuh")


class State:
    """One such folder: the machine as it first was, and a journal and an output for each part."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "machine.json"
        if not kept.exists():
            write(machine, kept)
        self.machine = Machine.model_validate_json(kept.read_bytes())

    def journal(self, part: str) -> Journal:
        """Of a part."""
        return Journal(self.folder / f"{part}.jsonl")

    def log(self, part: str) -> Path:
        """What the part's processes printed."""
        return self.folder / f"{part}.log"

    def start_over(self, part: str) -> None:
        """Drops what there is of a part."""
        self.journal(part).path.unlink(missing_ok=True)
        self.log(part).unlink(missing_ok=True)


def open_state(root: Path, machine: Machine, sources: str, *, is_fresh: bool = False) -> State:
    """The state for this machine and code, which goes on where it was unless it is to be fresh.

    Args:
        root: the folder of all states.
        machine: as it is now.
        sources: which code this is, by ``digest_of_sources``.
        is_fresh: whether what there was is dropped, its date included.
    """
    folder = root / _name(machine, sources)
    if is_fresh:
        shutil.rmtree(folder, ignore_errors=True)
    return State(folder, machine)


def _name(machine: Machine, sources: str) -> str:
    commit = "no commit" if machine.commit is None else machine.commit[:12]
    parts = (commit, sources[:8], machine.device_name, machine.torch, machine.cuda or "no cuda")
    return "_".join(map(slug, parts))


def digest_of_sources(root: Path = ROOT) -> str:
    """Of all that a part runs, the compiled module included: where files were changed, or not built
    anew, the commit does not say what is run.
    """
    digest = hashlib.sha256()
    for path in _sources(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        found = (path for path in (root / folder).rglob("*") if path.suffix in _SUFFIXES)
        yield from sorted(found)
