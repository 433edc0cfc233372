"""python -m per_step_dense info | demo | bench."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from . import demo
from .config import show_config

CHECKOUT: Final = Path(__file__).resolve().parents[1]
"""Where the project's other folders are, unless the package has been installed without them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m per_step_dense")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("info", help="what is installed and what runs where")
    commands.add_parser("demo", help="what a layer per step is for, on real data", add_help=False)
    commands.add_parser("bench", help="how fast it is, beside its rivals", add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command == "demo":
        return demo.main(rest)
    if arguments.command == "bench":
        return _bench(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    print(show_config())
    return 0


def _bench(argv: Sequence[str]) -> int:
    """Runs the checkout's ``bench``, which is no part of the installed package."""
    if not (CHECKOUT / "bench" / "__main__.py").is_file():
        print(
            "per_step_dense: the bench is in the project's checkout, which this installation is "
            "not of; there, run: python -m bench",
            file=sys.stderr,
        )
        return 1
    sys.path.insert(0, str(CHECKOUT))
    from bench.__main__ import main as bench

    return bench(argv)


if __name__ == "__main__":
    sys.exit(main())
