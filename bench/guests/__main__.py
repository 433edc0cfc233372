"""``python -m bench.guests MODULE``: serves a framework's module to whoever started it."""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module

from .server import Server


def main() -> None:
    """Stdout is for answers alone: whatever else is printed, by C++ too, goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    (module,) = sys.argv[1:]
    # Imported by the first question, so that a framework that cannot be is an answer as well.
    Server(partial(import_module, module)).serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
