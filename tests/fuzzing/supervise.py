"""Calls in a process of their own, which may crash or hang: then it is said which call it was."""

from __future__ import annotations

import mmap
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

INDEX = struct.Struct("q")
NONE_YET, FINISHED = -1, -2
POLL_SECONDS = 0.2
START = 5  # times the patience, until the first call


class Progress:
    """The index of the call that is being made, in a file that outlives the process."""

    def __init__(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size < INDEX.size:
            path.write_bytes(INDEX.pack(NONE_YET))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), INDEX.size)

    def at(self, index: int) -> None:
        INDEX.pack_into(self._memory, 0, index)

    @property
    def index(self) -> int:
        found: int = INDEX.unpack_from(self._memory)[0]
        return found


def supervised(
    command: Callable[[Path], Sequence[str]], patience: float, describe: Callable[[int], str]
) -> int:
    """Runs the command that writes into a Progress at this path; returns its exit status.

    It says FINISHED there at its end, for a sanitizer's report ends it with whatever status. A call
    that takes longer than `patience`, in seconds, is taken for a hang; loading torch may take more.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "progress"
        progress = Progress(path)
        process = subprocess.Popen(command(path))
        seen, since = progress.index, time.monotonic()
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            if progress.index != seen:
                seen, since = progress.index, time.monotonic()
            elif time.monotonic() - since > (patience if seen != NONE_YET else START * patience):
                process.kill()
                process.wait()
                print(f"HANGS for {patience:.0f} s: {describe(seen)}", flush=True)
                return 1
        if progress.index != FINISHED:
            print(f"DIED ({process.returncode}): {describe(progress.index)}", flush=True)
            return process.returncode or 1
        return process.returncode
