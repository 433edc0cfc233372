"""python -m per_step_dense info | demo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import demo
from .config import show_config


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m per_step_dense")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("info", help="what is installed and what runs where")
    commands.add_parser("demo", help="what a layer per step is for, on real data", add_help=False)
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command == "demo":
        return demo.main(rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    print(show_config())
    return 0


if __name__ == "__main__":
    sys.exit(main())
