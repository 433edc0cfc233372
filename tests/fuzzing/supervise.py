"""Calls in a process of their own, which may crash or hang: then it is said which call it was."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

INDEX = struct.Struct("q")
NONE_YET, FINISHED = -1, -2
POLL_SECONDS = 0.2
WAITING = 10  # times the patience, where nothing is computed


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
    that computes for longer than `patience`, in seconds, is taken for a hang; one that waits may
    wait for a core.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "progress"
        progress = Progress(path)
        process = subprocess.Popen(command(path))
        seen, since, computed = progress.index, time.monotonic(), 0.0
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            now, computing = time.monotonic(), cpu_seconds(process.pid)
            if progress.index != seen:
                seen, since, computed = progress.index, now, computing
            elif computing - computed > patience or now - since > WAITING * patience:
                process.kill()
                process.wait()
                print(f"HANGS for {now - since:.0f} s: {describe(seen)}", flush=True)
                return 1
        if progress.index != FINISHED:
            print(f"DIED ({process.returncode}): {describe(progress.index)}", flush=True)
            return process.returncode or 1
        return process.returncode


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
