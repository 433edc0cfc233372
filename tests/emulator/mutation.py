"""Faults put into a copy of the sources, to see whether the emulator notices.

They live outside the kernels' text. A mutation whose text is not found is an error: a fault that
was never planted must not pass for one that was caught.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .build import BUILD_FOLDER
from .sources import EMULATOR, REPOSITORY


@dataclass(frozen=True)
class Mutation:
    """One edit of one file.

    Attributes:
        file: Relative to the repository.
        old: Text that occurs exactly once, unless `occurrence` says which one is meant.
        new: What replaces it.
        occurrence: Counted from 1; 0 when there is only one.
    """

    file: str
    old: str
    new: str
    occurrence: int = 0

    def apply(self, root: Path) -> None:
        path = root / self.file
        text = path.read_text()
        found = text.count(self.old)
        wanted = self.occurrence or 1
        if found < wanted or (self.occurrence == 0 and found > 1):
            raise LookupError(f"{self.file}: {found} occurrences of {self.old!r}: {self}")
        begin = -1
        for _ in range(wanted):
            begin = text.index(self.old, begin + 1)
        path.unlink()  # or the text would be written to the checkout
        path.write_text(text[:begin] + self.new + text[begin + len(self.old) :])


@contextlib.contextmanager
def mutated_tree(*mutations: Mutation) -> Iterator[Path]:
    """The kernels' and the emulator's sources with the mutations applied, links to all others.

    Hard links, and so on the checkout's file system: symbolic ones are files of their own, and to
    make hundreds of them took longer than to link the mutant.
    """
    BUILD_FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutated-", dir=BUILD_FOLDER) as folder:
        root = Path(folder)
        ignored = shutil.ignore_patterns("*.py", "*.pyc")
        for part in (Path("csrc"), EMULATOR):
            shutil.copytree(REPOSITORY / part, root / part, ignore=ignored, copy_function=os.link)
        for mutation in mutations:
            mutation.apply(root)
        yield root
