"""What the examples on real data print, put into their page.

python -m bench.examples --update docs/guide/examples.md
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import torch

from .generated import begin_marker, replace_between
from .machine import describe_machine

SCRIPTS: Final = Path(__file__).parent.parent / "examples"
NAMES: Final = ("tabular_embeddings", "forecast_seasonal", "ensemble_regression")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs them and replaces what the page has of each."""
    parser = argparse.ArgumentParser(prog="python -m bench.examples")
    parser.add_argument("--update", type=Path, metavar="FILE", required=True)
    page: Path = parser.parse_args(argv).update
    page.write_text(updated(page.read_text(), printed_by))
    return 0


def updated(page: str, printed: Callable[[str], str]) -> str:
    """The page with what each example prints, and where."""
    machine = describe_machine(torch.device("cpu"))
    where = f"On {machine.cpu} ({machine.vectors}), {machine.date[:10]}, torch {machine.torch}"
    for name in NAMES:
        output = "\n".join(line.rstrip() for line in printed(name).splitlines())
        block = f"{where}:\n\n```text\n{output}\n```"
        page = replace_between(page, begin_marker(f"python -m bench.examples, {name}"), block)
    return page


def printed_by(name: str) -> str:
    """What the script prints, whose picture is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, str(SCRIPTS / f"{name}.py")],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    return run.stdout


if __name__ == "__main__":
    sys.exit(main())
