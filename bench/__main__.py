"""``python -m bench``: measures; ``report`` and ``page`` show what was measured."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

INSTALL_LINE = "pip install -e '.[bench]'"


def quieten_torch() -> None:
    """Silences what torch says of its profiler and of a machine without a GPU, unless it is set.

    To be called before torch is loaded.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the process's exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    quieten_torch()
    try:
        import matplotlib  # noqa: F401
        import pydantic  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        print(
            f"bench: needs matplotlib, pydantic and rich ({error}); install them with\n\n"
            f"    {INSTALL_LINE}\n",
            file=sys.stderr,
        )
        return 1
    if arguments[:1] == ["report"]:
        from .report.command import main as report

        return report(arguments[1:])
    if arguments[:1] == ["page"]:
        from .report.page import main as page

        return page(arguments[1:])
    from .measure import main as measure

    return measure(arguments)


if __name__ == "__main__":
    sys.exit(main())
