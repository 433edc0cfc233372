"""Other programs: run with a limit, killed with all that they started."""

from __future__ import annotations

import math
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Command:
    """A program and its arguments, and what it finds in its environment beyond ours."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int | None
    """As ``subprocess`` has it; None where it was killed for the time."""
    output: str

    @property
    def how(self) -> str:
        """In words."""
        if self.status is None:
            return "was killed for the time"
        if self.status < 0:
            return f"ended by signal {-self.status} ({signal.Signals(-self.status).name})"
        return f"ended with status {self.status}"

    @property
    def last_words(self) -> str:
        """The end of the output."""
        return "\n".join(self.output.splitlines()[-30:])


Runner = Callable[[Command, float, Path], Ended]
"""Runs a command for at most so many seconds, with its output added to a file."""


def run_program(command: Command, seconds: float, log: Path) -> Ended:
    """In the checkout's root; whatever ends us ends it, too."""
    start = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        process = subprocess.Popen(
            command.arguments,
            cwd=ROOT,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = process.wait(None if math.isinf(seconds) else seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if status is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    with log.open("rb") as file:
        file.seek(start)
        return Ended(status, file.read().decode(errors="replace"))
