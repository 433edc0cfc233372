"""Scripts in a Python of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import per_step_dense as psd

SOURCES = Path(psd.__file__).parents[1]


def environment(package_in: Path = SOURCES) -> dict[str, str]:
    """In which the package of this folder is imported, and the tests' own modules."""
    folders = [package_in, Path(__file__).parent]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}


SECONDS = 120  # after which a script hangs


def run(script: str, prelude: str = "", package_in: Path = SOURCES) -> str:
    """What the script prints; it must succeed."""
    result = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        env=environment(package_in),
        cwd=package_in,
        check=False,
        timeout=SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
